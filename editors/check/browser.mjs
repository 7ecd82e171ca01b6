// A Chromium without a screen, and what the checks of the editors have in common.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { chromium } from 'playwright-core';

const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

/** Run a check on a page; on failure there is a picture of it, and the process fails. */
export async function check(shots, body) {
  const directory = mkdtempSync(path.join(tmpdir(), 'chromium-'));
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const context = await chromium.launchPersistentContext(directory, {
    executablePath, headless: true, args: QUIET, viewport: { width: 1280, height: 800 },
  });
  const page = context.pages()[0] ?? await context.newPage();
  const shot = (name) => page.screenshot({ path: path.join(shots, `${name}.png`) });
  try {
    await body(page, shot);
    console.log('passed');
  } catch (error) {
    console.log('FAILED', error.message.slice(0, 800));
    await shot('failed');
    process.exitCode = 1;
  } finally {
    await context.close();
  }
}

export function expect(what, holds, seen) {
  console.log(holds ? 'ok  ' : 'NOT ', what, seen === undefined ? '' : JSON.stringify(seen));
  if (!holds) throw new Error(what);
}
