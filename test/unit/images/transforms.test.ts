import { describe, expect, test } from '@jest/globals';
import { Philox, STREAM } from '../../../src/common/philox.js';
import {
  DEFAULT_CROP,
  randomFlip,
  randomResizedCropBox,
  type Box,
} from '../../../src/images/transforms.js';

const DRAWS = 20_000;
const SHARES = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

/**
 * Quantiles (at SHARES) of 60,000 boxes of torchvision 0.29's `RandomResizedCrop.get_params`: area as
 * a share of the image, width / height, and the corner as a share of its range.
 */
const TORCHVISION = [
  {
    width: 500,
    height: 375,
    area: [0.0866, 0.1132, 0.1473, 0.2506, 0.4218, 0.5928, 0.7363, 0.813, 0.9149],
    aspect: [0.7558, 0.7803, 0.8106, 0.8996, 1.0482, 1.19, 1.2753, 1.3047, 1.3278],
    top: [0.0, 0.034, 0.088, 0.242, 0.5, 0.755, 0.913, 0.966, 1.0],
    left: [0.006, 0.047, 0.097, 0.25, 0.497, 0.75, 0.901, 0.953, 0.994],
  },
  {
    // A tall image: a tenth of the draws take the fallback.
    width: 224,
    height: 900,
    area: [0.0822, 0.09, 0.0999, 0.1301, 0.1797, 0.2414, 0.3322, 0.3322, 0.3322],
    aspect: [0.7492, 0.7492, 0.7492, 0.7951, 0.9078, 1.0696, 1.2081, 1.2657, 1.3188],
    top: [0.01, 0.056, 0.115, 0.286, 0.499, 0.714, 0.886, 0.944, 0.989],
    left: [0.0, 0.012, 0.074, 0.243, 0.5, 0.765, 0.927, 0.99, 1.0],
  },
  {
    width: 60,
    height: 47,
    area: [0.0894, 0.1145, 0.1489, 0.2582, 0.4426, 0.6241, 0.7706, 0.8482, 0.95],
    aspect: [0.75, 0.7812, 0.8095, 0.8966, 1.0444, 1.1875, 1.2727, 1.3023, 1.3333],
    top: [0.0, 0.0, 0.0, 0.207, 0.5, 0.8, 1.0, 1.0, 1.0],
    left: [0.0, 0.0, 0.077, 0.238, 0.5, 0.766, 0.927, 1.0, 1.0],
  },
];

function boxes(width: number, height: number): Box[] {
  return Array.from({ length: DRAWS }, (_, index) =>
    randomResizedCropBox(width, height, DEFAULT_CROP, new Philox(1, STREAM.crop, index % 7, index)),
  );
}

/** Largest distance, at the recorded quantiles, of our distribution function from torchvision's. */
function distance(values: number[], quantiles: number[]): number {
  let largest = 0;
  for (const [index, share] of SHARES.entries()) {
    const quantile = quantiles[index] ?? NaN;
    // Values that many boxes share (sides are whole pixels) sit on both sides of the quantile; the
    // margin is the recorded figures' rounding.
    const margin = 5e-4;
    const below = values.filter((value) => value < quantile - margin).length / values.length;
    const upTo = values.filter((value) => value <= quantile + margin).length / values.length;
    largest = Math.max(largest, below - share, share - upTo);
  }
  return largest;
}

describe('randomResizedCropBox', () => {
  test.each(TORCHVISION)('distributed as torchvision, $width x $height', (recorded) => {
    const { width, height } = recorded;
    const drawn = boxes(width, height);
    for (const box of drawn) {
      const inside =
        box.top >= 0 &&
        box.left >= 0 &&
        box.height > 0 &&
        box.width > 0 &&
        box.top + box.height <= height &&
        box.left + box.width <= width;
      if (!inside) throw new Error(`outside ${width}x${height}: ${JSON.stringify(box)}`);
    }
    // Kolmogorov and Smirnov, samples of 20,000 and 60,000: 99.9 % are closer than this.
    const bound = 1.95 * Math.sqrt(1 / DRAWS + 1 / 60_000);
    const area = drawn.map((box) => (box.width * box.height) / (width * height));
    const aspect = drawn.map((box) => box.width / box.height);
    const tops = drawn.filter((box) => box.height < height);
    const lefts = drawn.filter((box) => box.width < width);
    const top = tops.map((box) => box.top / (height - box.height));
    const left = lefts.map((box) => box.left / (width - box.width));
    expect(distance(area, recorded.area)).toBeLessThan(bound);
    expect(distance(aspect, recorded.aspect)).toBeLessThan(bound);
    expect(distance(top, recorded.top)).toBeLessThan(bound);
    expect(distance(left, recorded.left)).toBeLessThan(bound);
  });

  test('where no draw can fit: torchvision’s centre crop', () => {
    const random = () => new Philox(0, STREAM.crop);
    // 4:3 of a 1:8 panorama, lying and standing.
    expect(randomResizedCropBox(800, 100, { ...DEFAULT_CROP, scale: [0.9, 1] }, random())).toEqual({
      top: 0,
      left: 333,
      height: 100,
      width: 133,
    });
    expect(randomResizedCropBox(100, 800, { ...DEFAULT_CROP, scale: [0.9, 1] }, random())).toEqual({
      top: 333,
      left: 0,
      height: 133,
      width: 100,
    });
    // An area above the image's own fits never; the aspect ratio is fine: the whole image.
    expect(randomResizedCropBox(50, 40, { ...DEFAULT_CROP, scale: [2, 3] }, random())).toEqual({
      top: 0,
      left: 0,
      height: 40,
      width: 50,
    });
  });

  test('an image of one pixel, and one a pixel wide', () => {
    const random = new Philox(0, STREAM.crop);
    const whole = { top: 0, left: 0, height: 1, width: 1 };
    expect(randomResizedCropBox(1, 1, DEFAULT_CROP, random)).toEqual(whole);
    const strip = randomResizedCropBox(1, 1000, DEFAULT_CROP, random);
    expect(strip).toMatchObject({ left: 0, height: 1, width: 1 });
  });

  // A resumed run of a later version must see the same crops.
  test('the draws are fixed', () => {
    const random = new Philox(7, STREAM.crop, 3, 11);
    expect(randomResizedCropBox(500, 375, DEFAULT_CROP, random)).toEqual({
      top: 47,
      left: 59,
      height: 323,
      width: 392,
    });
  });
});

describe('randomFlip', () => {
  test('as often as asked', () => {
    const random = new Philox(2, STREAM.crop);
    const share = (probability: number) => {
      let flips = 0;
      for (let i = 0; i < DRAWS; i++) if (randomFlip(probability, random)) flips++;
      return flips / DRAWS;
    };
    expect(share(0)).toBe(0);
    expect(share(1)).toBe(1);
    expect(Math.abs(share(0.5) - 0.5)).toBeLessThan(0.015);
    expect(Math.abs(share(0.1) - 0.1)).toBeLessThan(0.01);
  });
});
