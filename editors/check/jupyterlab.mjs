// node jupyterlab.mjs URL SHOTS: JupyterLab on fixtures/notebook/analysis.ipynb, with nothing configured.
import { check, expect } from './browser.mjs';

const [, , url, shots] = process.argv;

await check(shots, async (page, shot) => {
  await page.goto(url);
  await page.waitForSelector('.jp-Notebook .jp-Cell', { timeout: 60000 });
  await page.waitForTimeout(3000);
  await page.getByRole('button', { name: 'No', exact: true }).click({ timeout: 10000 }).catch(() => {}); // news
  for (let tries = 0; tries < 20 && !(await page.locator('.cm-lintRange-error').count()); tries++) {
    await page.locator('.jp-Notebook').first().hover();
    await page.mouse.wheel(0, tries % 2 ? -200 : 500);
    await page.waitForTimeout(1500);
  }
  const marks = await page.locator('.cm-lintRange').allInnerTexts();
  expect('the cell is underlined', marks.length > 0, marks);
  const mark = page.locator('.cm-lintRange-error').first();
  await mark.scrollIntoViewIfNeeded();
  await mark.hover();
  await page.waitForSelector('.cm-tooltip-lint', { timeout: 10000 });
  const tooltip = await page.locator('.cm-tooltip-lint').first().innerText();
  expect('the tooltip says what is wrong', tooltip.includes('graph'), tooltip);
  await shot('jupyterlab-hover');
  await mark.click();
  await page.keyboard.press('Control+Shift+C');
  await page.locator('.lm-CommandPalette-input, .jp-ModalCommandPalette input').first().fill('diagnostics panel');
  await page.waitForTimeout(800);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.lsp-diagnostics-listing tbody tr', { timeout: 15000 });
  const rows = await page.locator('.lsp-diagnostics-listing tbody tr').allInnerTexts();
  // JupyterLab keeps what is found in cells with a cell magic, such as the one of NGL103, to itself.
  expect('it is listed with its cell', rows.some((row) => row.includes('NGL104') && row.includes('nograd-lint')), rows);
  await page.mouse.move(900, 5); // off the cell, whose tooltip would lie over the list
  await page.keyboard.press('Escape');
  await page.waitForTimeout(1500);
  await shot('jupyterlab-panel');
});
