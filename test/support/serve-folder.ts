/** Serves a folder to a browser, as any web server would. */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

export interface FolderServer {
  /** Address on loopback, with a slash at its end. */
  readonly origin: string;
  close(): void;
}

export async function serveFolder(dir: string): Promise<FolderServer> {
  const server = createServer(({ url = '/' }, response) => {
    const name = path.join(dir, path.posix.normalize(url === '/' ? '/index.html' : url));
    try {
      const type = TYPES[path.extname(name)] ?? 'application/octet-stream';
      response.setHeader('content-type', type).end(readFileSync(name));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
