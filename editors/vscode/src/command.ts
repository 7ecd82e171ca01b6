/** How the server is started. Nothing here needs VS Code, so that it can be tested without it. */

export interface Command {
  command: string;
  args: string[];
}

export interface Environment {
  /** The setting `nograd-lint.server`. */
  server: string[];
  /** The setting `nograd-lint.interpreter`. */
  interpreter: string;
  /** What the Python extension says that the workspace's interpreter is. */
  selected?: string;
  /** Whether nograd-lint is installed for an interpreter. */
  hasPackage(interpreter: string): boolean;
}

/** The command that starts the server: the one that is set, else that of the first interpreter that has the package. */
export function serverCommand(environment: Environment): Command {
  const [command, ...args] = environment.server;
  if (command) {
    return { command, args };
  }
  if (environment.interpreter) {
    return ofInterpreter(environment.interpreter);
  }
  if (environment.selected && environment.hasPackage(environment.selected)) {
    return ofInterpreter(environment.selected);
  }
  return { command: "nograd-lint", args: ["server"] };
}

function ofInterpreter(interpreter: string): Command {
  return { command: interpreter, args: ["-m", "nograd_lint", "server"] };
}
