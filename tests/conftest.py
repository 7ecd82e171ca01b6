"""What holds for every test."""

import signal

# A shell starts a background job with Ctrl-C ignored, and so does everything that the job starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
