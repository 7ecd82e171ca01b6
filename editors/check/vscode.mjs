// node vscode.mjs URL SHOTS: the extension in VS Code, on a copy of fixtures/wasteful with fixtures/notebook/analysis.ipynb in it.
import { check, expect } from './browser.mjs';

const [, , url, shots] = process.argv;

await check(shots, async (page, shot) => {
  const open = async (name) => {
    await page.getByRole('treeitem', { name }).first().dblclick();
    await page.waitForTimeout(1000);
  };
  await page.goto(url);
  await page.waitForSelector('.explorer-folders-view .monaco-list-row', { timeout: 60000 });
  await page.waitForTimeout(8000); // a notebook opened sooner is shown as JSON

  await open('evaluate.py');
  await page.waitForSelector('.monaco-editor .squiggly-error', { timeout: 60000 });
  await page.waitForFunction(() => document.body.innerText.includes('measured:'), null, { timeout: 30000 }).catch(() => {});
  const lens = await page.locator('.codelens-decoration').allInnerTexts();
  expect('the code lens tells what was measured', lens.some((text) => text.includes('held per call')), lens);

  await page.locator('.squiggly-error').first().hover({ force: true });
  await page.waitForSelector('.monaco-hover:not(.hidden) .rendered-markdown', { timeout: 20000 });
  await page.waitForTimeout(1500);
  const hover = (await page.locator('.monaco-hover').allInnerTexts()).join(' ');
  expect('the hover shows the rule and the figures', hover.includes('graph-kept-across-batches') && hover.includes('measured'));
  await page.locator('.monaco-hover:not(.hidden)').first().hover();
  await page.mouse.wheel(0, 120);
  await page.waitForTimeout(800);
  await shot('vscode-hover');

  await page.keyboard.press('Escape');
  await page.mouse.move(640, 20); // off the hover, which would catch the click
  await page.waitForTimeout(1000);
  await page.keyboard.press('Control+Shift+M');
  await page.waitForSelector('.markers-panel .monaco-list-row', { timeout: 20000 });
  const problems = await page.locator('.markers-panel .monaco-list-row').allInnerTexts();
  expect('the problem is listed', problems.some((text) => text.includes('NGL104')), problems);

  await page.locator('.monaco-editor .view-line', { hasText: 'import torch' }).first().click();
  await page.keyboard.press('Control+Home');
  await page.keyboard.press('F8');
  await page.waitForTimeout(1000);
  await page.keyboard.press('Escape');
  await page.waitForTimeout(1500);
  await page.keyboard.press('Control+.');
  await page.waitForSelector('.action-widget .monaco-list-row', { timeout: 20000 });
  await page.waitForTimeout(500);
  const actions = await page.locator('.action-widget .monaco-list-row').allInnerTexts();
  expect('a fix is offered', actions.some((text) => text.includes('torch.no_grad()')), actions);
  await shot('vscode-quickfix');
  await page.keyboard.press('Enter'); // the row itself is covered by an overlay
  await page.waitForSelector('.monaco-editor .squiggly-error', { state: 'detached', timeout: 20000 });
  const text = (await page.locator('.monaco-editor .view-lines').first().innerText()).replaceAll('\u00a0', ' ');
  expect('the fix was applied', text.includes('@torch.no_grad()'));

  await open('analysis.ipynb');
  await page.waitForSelector('.notebookOverlay .cell-list-container .monaco-list-row', { state: 'attached', timeout: 60000 });
  const row = page.locator('.markers-panel .monaco-list-row', { hasText: 'NGL104' }).filter({ hasText: 'the script' });
  await row.waitFor({ timeout: 60000 });
  const cells = await page.locator('.markers-panel .monaco-list-row').allInnerTexts();
  expect('cells are linted', cells.some((text) => text.includes('NGL103')), cells);
  await row.dblclick(); // shows the cell
  await page.waitForSelector('.notebookOverlay .squiggly-error', { timeout: 30000 });
  await page.keyboard.press('Control+J'); // hides the list
  await page.waitForTimeout(1000);
  await page.locator('.notebookOverlay .squiggly-error').first().hover({ force: true });
  await page.waitForSelector('.monaco-hover:not(.hidden) .rendered-markdown', { timeout: 20000 });
  await page.waitForTimeout(1500);
  await shot('vscode-notebook');
  await page.keyboard.press('Escape');
  await page.mouse.move(640, 20);
  await page.waitForTimeout(1500);
  await page.keyboard.press('Control+.'); // in the cell that was shown
  await page.waitForSelector('.action-widget .monaco-list-row', { timeout: 20000 });
  await page.waitForTimeout(500);
  const inCell = await page.locator('.action-widget .monaco-list-row').allInnerTexts();
  expect('a fix is offered in the cell', inCell.some((text) => text.includes('torch.no_grad()')), inCell);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.notebookOverlay .squiggly-error', { state: 'detached', timeout: 20000 });
});
