import { spawnSync } from "node:child_process";

import * as vscode from "vscode";
import { LanguageClient, TransportKind, type LanguageClientOptions } from "vscode-languageclient/node";

import { serverCommand } from "./command";

const SECTION = "nograd-lint";
const DOCUMENTATION = "https://nograd-lint.readthedocs.io/en/latest/rules/";

let client: LanguageClient | undefined;
let output: vscode.LogOutputChannel;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  output = vscode.window.createOutputChannel("nograd-lint", { log: true });
  context.subscriptions.push(
    output,
    vscode.commands.registerCommand("nograd-lint.restart", restart),
    vscode.commands.registerCommand("nograd-lint.showLog", () => output.show()),
    vscode.commands.registerCommand("nograd-lint.fixAll", fixAll),
    vscode.workspace.onDidChangeConfiguration(async (event) => {
      const restarts = ["server", "interpreter", "scope"].map((key) => `${SECTION}.${key}`);
      if (restarts.some((key) => event.affectsConfiguration(key))) {
        await restart();
      }
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(restart),
  );
  await start();
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

async function restart(): Promise<void> {
  await client?.stop();
  client = undefined;
  await start();
}

async function start(): Promise<void> {
  const settings = vscode.workspace.getConfiguration(SECTION);
  const { command, args } = serverCommand({
    server: settings.get<string[]>("server", []),
    interpreter: settings.get<string>("interpreter", ""),
    selected: await selectedInterpreter(),
    hasPackage: (interpreter) => spawnSync(interpreter, ["-c", "import nograd_lint, pygls"], { timeout: 10_000 }).status === 0,
  });
  output.info(`starting ${[command, ...args].join(" ")}`);
  const options: LanguageClientOptions = {
    documentSelector: [{ language: "python" }, { language: "markdown", scheme: "file" }],
    initializationOptions: { settings },
    outputChannel: output,
    middleware: {
      // The documentation of a rule is opened here: the server may run on another machine.
      executeCommand: async (name, parameters, next) => {
        if (name === "nograd-lint.explain" && typeof parameters[0] === "string") {
          return vscode.env.openExternal(vscode.Uri.parse(`${DOCUMENTATION}${parameters[0]}/`));
        }
        return next(name, parameters);
      },
    },
  };
  client = new LanguageClient(SECTION, "nograd-lint", { command, args, transport: TransportKind.stdio }, options);
  try {
    await client.start();
  } catch (error) {
    const choice = await vscode.window.showErrorMessage(
      `nograd-lint could not be started as \`${[command, ...args].join(" ")}\`. Install it with: pip install "nograd-lint[lsp]"`,
      "Show Log",
    );
    output.error(String(error));
    if (choice) {
      output.show();
    }
  }
}

/** The interpreter of the workspace, where the Python extension is there to tell. */
async function selectedInterpreter(): Promise<string | undefined> {
  const python = vscode.extensions.getExtension("ms-python.python");
  if (!python) {
    return undefined;
  }
  const api = python.isActive ? python.exports : await python.activate();
  const path: unknown = api?.environments?.getActiveEnvironmentPath?.(vscode.workspace.workspaceFolders?.[0]?.uri)?.path;
  return typeof path === "string" ? path : undefined;
}

async function fixAll(): Promise<void> {
  await vscode.commands.executeCommand("editor.action.codeAction", { kind: "source.fixAll.nogradLint", apply: "first" });
}
