#!/bin/bash
# Try the editors that need a screen, without one: VS Code (code-server) with the extension, and JupyterLab.
#
#   editors/check/run.sh SCREENSHOTS [PYTHON]
#
# PYTHON has nograd-lint[lsp] and torch installed (torch to measure what is shown). Needed beside it: node 20, npm,
# g++, make, ripgrep and Chromium; pngquant makes the pictures smaller. Everything is kept in a temporary directory, or in $CHECK_DIR to use it again.
set -euo pipefail
shots=$(mkdir -p "$1" && realpath "$1") python=$(command -v "${2:-python}")
here=$(realpath "$(dirname "$0")") root=$(realpath "$(dirname "$0")/../..")
work=${CHECK_DIR:-$(mktemp -d)}
mkdir -p "$work"/{drive,server} && cp "$here"/*.mjs "$here"/package.json "$work/drive" && cd "$work"
pids=()
trap 'for pid in "${pids[@]}"; do kill -- "-$pid" 2>/dev/null || true; done' EXIT

ready() { for _ in $(seq 120); do curl -fs -o /dev/null "$1" && return; sleep 0.5; done; echo "no answer from $1"; exit 1; }

# --- what has to be installed -----------------------------------------------------------------------------------------
(cd drive && npm install --no-audit --no-fund >/dev/null)
if [ ! -e server/node_modules/code-server ]; then
  # As root npm skips the scripts that code-server installs itself with: its parts are installed one by one.
  (cd server && npm init -y >/dev/null && npm install --ignore-scripts --no-audit --no-fund code-server@4.100.3 \
    && npm rebuild argon2 --build-from-source \
    && cd node_modules/code-server/lib/vscode && npm install --omit=dev --ignore-scripts --no-audit --no-fund \
    && mkdir -p node_modules/@vscode/ripgrep/bin && ln -sf "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg) >install.log 2>&1
fi
if [ ! -e lab ]; then
  python3 -m venv lab && lab/bin/pip install -q 'jupyterlab<5' jupyterlab-lsp jupyter-lsp ipykernel "$root"'[lsp]'
fi
(cd "$root/editors/vscode" && npm ci --ignore-scripts --no-audit --no-fund >/dev/null && npm run -s build && npx vsce package --no-dependencies --allow-missing-repository -o "$work/nograd-lint.vsix" >/dev/null)

# --- something to look at ---------------------------------------------------------------------------------------------
rm -rf demo state && mkdir state && cp -r "$root/fixtures/wasteful" demo && cp "$root/fixtures/notebook/analysis.ipynb" demo/
sed -i 's/  # expect: NGL[0-9]*//' demo/*.py demo/*.ipynb # what the tests expect is no matter here
(cd demo && "$python" -m nograd_lint confirm --yes --no-time NGL104 -- "$python" main.py) >confirm.log 2>&1 || [ $? = 1 ]

# --- VS Code ----------------------------------------------------------------------------------------------------------
mkdir -p state/user/User
cat >state/user/User/settings.json <<JSON
{ "nograd-lint.interpreter": "$python", "workbench.startupEditor": "none", "files.autoSave": "off", "files.hotExit": "off" }
JSON
export XDG_DATA_HOME="$work/state/data" XDG_CONFIG_HOME="$work/state/config"
code=(node server/node_modules/code-server/out/node/entry.js --config state/code.yaml --user-data-dir state/user --extensions-dir state/extensions)
"${code[@]}" --install-extension nograd-lint.vsix >extension.log 2>&1
setsid env -u VSCODE_IPC_HOOK_CLI "${code[@]}" --auth none --bind-addr 127.0.0.1:8932 --disable-telemetry --disable-update-check --disable-workspace-trust demo >code.log 2>&1 &
pids+=($!)
ready http://127.0.0.1:8932/healthz
node drive/vscode.mjs "http://127.0.0.1:8932/?folder=$work/demo" "$shots" || failed=1

# --- JupyterLab, with nothing configured ------------------------------------------------------------------------------
export JUPYTER_CONFIG_DIR=$work/state/jc JUPYTER_DATA_DIR=$work/state/jd JUPYTER_RUNTIME_DIR=$work/state/jr
export JUPYTERLAB_SETTINGS_DIR=$work/state/js JUPYTERLAB_WORKSPACES_DIR=$work/state/jw
(cd demo && exec setsid "$work/lab/bin/jupyter" lab --no-browser --allow-root --ip 127.0.0.1 --port 8941 --ServerApp.token= --ServerApp.password=) >lab.log 2>&1 &
pids+=($!)
ready http://127.0.0.1:8941/api
node drive/jupyterlab.mjs http://127.0.0.1:8941/lab/tree/analysis.ipynb "$shots" || failed=1
[ -n "${failed:-}" ] || ! command -v pngquant >/dev/null || pngquant --force --ext .png --skip-if-larger "$shots"/*.png || true
exit "${failed:-0}"
