import assert from "node:assert/strict";
import { test } from "node:test";

import { serverCommand, type Environment } from "../command";

const nothing: Environment = { server: [], interpreter: "", hasPackage: () => false };
const module = ["-m", "nograd_lint", "server"];

test("without anything, what is in the path", () => {
  assert.deepEqual(serverCommand(nothing), { command: "nograd-lint", args: ["server"] });
});

test("a command that is set is taken as it is", () => {
  const set = { ...nothing, server: ["uvx", "nograd-lint", "server"], interpreter: "/venv/bin/python" };
  assert.deepEqual(serverCommand(set), { command: "uvx", args: ["nograd-lint", "server"] });
});

test("an interpreter that is set is not doubted", () => {
  const set = { ...nothing, interpreter: "/venv/bin/python", selected: "/usr/bin/python", hasPackage: () => true };
  assert.deepEqual(serverCommand(set), { command: "/venv/bin/python", args: module });
});

test("the selected interpreter counts where it has the package", () => {
  const selected = { ...nothing, selected: "/usr/bin/python" };
  assert.deepEqual(serverCommand(selected), { command: "nograd-lint", args: ["server"] });
  assert.deepEqual(serverCommand({ ...selected, hasPackage: () => true }), { command: "/usr/bin/python", args: module });
});
