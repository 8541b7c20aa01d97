/** Tests run as compiled JavaScript: what is tested is what ships, workers included. */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/dist'],
  testMatch: ['<rootDir>/dist/test/**/*.test.js'],
  transform: {},
  testTimeout: 240_000,
};
