import { describe, expect, test } from '@jest/globals';
import { csvLine, metricsCsv } from '../../../src/common/csv.js';
import type { PhaseRecord } from '../../../src/common/events.js';
import { niceTicks } from '../../../src/report/chart-axis.js';
import { chart } from '../../../src/report/chart.js';
import { renderReport } from '../../../src/report/render-report.js';
import type { ReportData } from '../../../src/report/report-data.js';

const EVIL = `<script>alert("1")</script> & 'x'`;

function records(epochs: number): PhaseRecord[] {
  return Array.from({ length: epochs }, (_, i) => i + 1).flatMap((epoch) =>
    (['train', 'val'] as const).map((phase) => ({
      epoch,
      phase,
      loss: 1 / (epoch + (phase === 'val' ? 0.5 : 0)),
      accuracy: 1 - 1 / (epoch + 2),
      lr: 0.001 * 0.1 ** Math.floor((epoch - 1) / 7),
      images: 20,
      seconds: 2,
      dataWaitSeconds: 0.5,
    })),
  );
}

function data(more: Partial<ReportData> = {}): ReportData {
  return {
    title: 'train-1',
    state: 'running',
    arch: 'tiny',
    device: 'cpu',
    classes: ['a', EVIL],
    trainImages: 20,
    valImages: 20,
    exif: { images: 0, use: 'ignore' },
    epochs: 9,
    records: records(8),
    best: { epoch: 8, accuracy: 0.9, loss: 0.1176 },
    evaluation: {
      epoch: 8,
      isBest: true,
      matrix: [
        [9, 1],
        [1, 9],
      ],
      mistakes: [
        {
          uri: null,
          name: EVIL,
          label: 'a',
          predicted: EVIL,
          confidence: 0.9,
          labelProbability: 0.1,
        },
      ],
      mistakeCount: 2,
    },
    sampleImages: [{ uri: 'data:image/jpeg;base64,AAAA', name: 'b.jpg', label: EVIL }],
    remarks: [{ message: EVIL, reason: 'hidden', count: 3, examples: [EVIL] }],
    settings: { data: EVIL, lr: 0.001 },
    producer: 'test 1',
    ...more,
  };
}

describe('the page', () => {
  test('is whole, looks for a newer one only while the run goes on, and loads nothing', () => {
    const running = renderReport(data());
    expect(/^<!doctype html>[^]*<\/html>\n$/.test(running)).toBe(true);
    expect(running.includes('location.reload()')).toBe(true);
    const finished = renderReport(data({ state: 'finished' }));
    expect(finished.includes('location.reload()')).toBe(false);
    for (const page of [running, finished]) {
      expect(page.includes('default-src &#39;none&#39;')).toBe(true);
      expect(/(src|href)="(?!data:)/.exec(page)).toBeNull();
      expect(/url\(|@import|https?:/.exec(page)).toBeNull();
    }
  });

  test('shows names as text whatever is in them', () => {
    const page = renderReport(data());
    expect(page).not.toContain('<script>alert');
    expect(page).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;');
  });

  test('holds the records as they are', () => {
    const json = /<script type="application\/json" id="metrics">([^]*?)<\/script>/.exec(
      renderReport(data()),
    )?.[1];
    expect(JSON.parse(json ?? '')).toEqual(records(8));
  });

  test('has sense before the first epoch, after one, and with a thousand classes', () => {
    const none = renderReport(
      data({ records: [], best: null, evaluation: null, sampleImages: [] }),
    );
    expect(none).toContain('The first epoch is under way');
    const one = renderReport(data({ records: records(1) }));
    const classes = Array.from({ length: 1000 }, (_, i) => `class ${i}`);
    const matrix = classes.map((_, i) => classes.map((_, j) => (i === j || j === 7 ? 1 : 0)));
    const evaluation = { epoch: 1, isBest: false, matrix, mistakes: [], mistakeCount: 0 };
    const many = renderReport(data({ classes, evaluation }));
    expect(many).toContain('id="confusions"');
    expect(many).not.toContain('id="confusion"');
    expect(many.length).toBeLessThan(500_000);
    for (const page of [none, one, many]) {
      expect(/NaN|undefined|Infinity/.exec(page)).toBeNull();
    }
  });
});

describe('charts', () => {
  test.each([
    [0.12, 0.77, [0, 0.2, 0.4, 0.6, 0.8]],
    [0, 60, [0, 20, 40, 60]],
    [5, 5, [4, 6]],
    [0, 0, [0, 0.25]],
    [-1, 1, [-1, -0.5, 0, 0.5, 1]],
  ])('from %d to %d the axis has round numbers', (low, high, expected) => {
    const ticks = niceTicks(low, high);
    expect(ticks[0]).toBeLessThanOrEqual(low);
    expect(ticks.at(-1)).toBeGreaterThanOrEqual(high);
    expect(ticks).toEqual(expected);
  });

  test('a gap in the values is no point, and a logarithmic axis takes decades', () => {
    const { markup } = chart({
      title: 'Rate',
      series: [{ name: 'rate', colour: 3, values: [0.1, null, 0.001] }],
      format: String,
      logarithmic: true,
    });
    expect(markup.match(/class="dot s3"/g)).toHaveLength(4);
    expect(markup).toContain('>0.01</text>');
    expect(markup).not.toContain('NaN');
  });
});

test('CSV: the records of metrics.jsonl, quotes where they are needed', () => {
  const [first] = records(1);
  if (first === undefined) throw new Error('no record');
  expect(metricsCsv([first])).toBe(
    'epoch,phase,loss,accuracy,lr,images,seconds,dataWaitSeconds\n' +
      `1,train,1,${first.accuracy},0.001,20,2,0.5\n`,
  );
  expect(csvLine(['a,b', 'say "hi"', null, 0.1])).toBe('"a,b","say ""hi""",,0.1\n');
});
