-- nvim --headless -u NONE -i NONE -n -c 'luafile neovim.lua'; for 0.7 and newer. Prints one JSON object.
-- NV_FILE: the file to open; NV_SERVER: the server's command line.
local command = vim.split(vim.env.NV_SERVER, '\n')
local result = { version = vim.version().major .. '.' .. vim.version().minor }

local function ask(buffer, method, params)
  local answers = vim.lsp.buf_request_sync(buffer, method, params, 20000) or {}
  for _, answer in pairs(answers) do
    return answer.result
  end
end

local ok, message = pcall(function()
  vim.cmd('edit ' .. vim.fn.fnameescape(vim.env.NV_FILE))
  vim.bo.filetype = 'python'
  local buffer = vim.api.nvim_get_current_buf()
  if vim.lsp.config then
    vim.lsp.config('nograd_lint', { cmd = command, filetypes = { 'python' }, root_markers = { 'pyproject.toml' } })
    vim.lsp.enable('nograd_lint')
    vim.cmd('doautoall FileType')
  else
    local id = vim.lsp.start_client({ name = 'nograd_lint', cmd = command, root_dir = vim.fn.getcwd() })
    vim.lsp.buf_attach_client(buffer, id)
  end
  vim.wait(30000, function() return #vim.diagnostic.get(buffer) > 0 end, 20)
  result.diagnostics = vim.tbl_map(function(d)
    return { d.lnum, d.col, d.end_lnum, d.end_col, d.severity, d.source, d.code or d.user_data.lsp.code, d.message }
  end, vim.diagnostic.get(buffer))

  local first = vim.diagnostic.get(buffer)[1]
  vim.api.nvim_win_set_cursor(0, { first.lnum + 1, first.col })
  local place = vim.lsp.util.make_position_params(0, 'utf-16')
  result.hover = ask(buffer, 'textDocument/hover', place).contents.value
  result.lenses = vim.tbl_map(
    function(lens) return lens.command.title end,
    ask(buffer, 'textDocument/codeLens', { textDocument = place.textDocument })
  )

  if vim.fn.has('nvim-0.8') == 1 then
    vim.lsp.buf.code_action({ apply = true, filter = function(action) return action.isPreferred end })
  else
    vim.ui.select = function(items, _, choose) choose(items[1], 1) end
    vim.lsp.buf.code_action()
  end
  vim.wait(30000, function() return #vim.diagnostic.get(buffer) == 0 end, 20)
  result.after = #vim.diagnostic.get(buffer)
  result.text = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n') .. '\n'
end)
if not ok then result.error = tostring(message) end
io.stdout:write(vim.fn.json_encode(result) .. '\n')
vim.cmd('qa!')
