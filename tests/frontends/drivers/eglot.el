;; emacs -q --batch -l eglot.el FILE; NV_SERVER is the server's command line. Prints lines that begin with "RESULT ".
(require 'package)
(add-to-list 'package-directory-list "/usr/share/emacs/site-lisp/elpa")
(package-initialize)
(unless (require 'eglot nil t) (princ "RESULT missing\n") (kill-emacs 0))
(require 'flymake)
(setq eglot-sync-connect t eglot-connect-timeout 30 eglot-autoshutdown t eglot-confirm-server-initiated-edits nil)
(setq eglot-server-programs (list (cons 'python-mode (split-string (getenv "NV_SERVER") "\n"))))

(defun wait (ready)
  (let ((end (+ (float-time) 30)) found)
    (while (and (not (setq found (funcall ready))) (< (float-time) end))
      (flymake-start)
      (accept-process-output nil 0.1))
    found))

(with-current-buffer (find-file-noselect (expand-file-name (car command-line-args-left)))
  (setq command-line-args-left nil)
  (python-mode)
  (apply #'eglot (eglot--guess-contact))
  (flymake-mode 1)
  (wait #'flymake-diagnostics)
  (dolist (one (flymake-diagnostics))
    (princ (format "RESULT diagnostic %d-%d %s\n"
                   (flymake-diagnostic-beg one) (flymake-diagnostic-end one) (flymake-diagnostic-text one))))
  (let ((one (car (flymake-diagnostics))))
    (goto-char (flymake-diagnostic-beg one))
    (let ((hover (jsonrpc-request (eglot--current-server-or-lose) :textDocument/hover
                                  (eglot--TextDocumentPositionParams))))
      (princ (format "RESULT hover %s\n"
                     (replace-regexp-in-string "\n" " " (plist-get (plist-get hover :contents) :value)))))
    (let ((actions (eglot-code-actions (flymake-diagnostic-beg one) (flymake-diagnostic-end one))))
      (mapc (lambda (action) (princ (format "RESULT action %s\n" (plist-get action :title)))) actions)
      (eglot--apply-workspace-edit (plist-get (elt actions 0) :edit))))
  (eglot--signal-textDocument/didChange) ; otherwise sent by an idle timer, which does not run in batch mode
  (princ (format "RESULT left %d\n" (if (wait (lambda () (null (flymake-diagnostics)))) 0 (length (flymake-diagnostics)))))
  (princ (concat "RESULT text " (replace-regexp-in-string "\n" "|" (buffer-string)) "\n"))
  (set-buffer-modified-p nil))
