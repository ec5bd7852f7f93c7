#!/bin/sh
# Runs the tests beside four busy loops, as on a machine that has other work: `sh scripts/test_busy.sh PYTHON [PYTEST ARGUMENTS]`.
# The loops end with it, however it ends.
set -eu
python=$1
shift
loops=
end() { for loop in $loops; do kill "$loop" 2>/dev/null || true; done; }
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
for _ in 1 2 3 4; do
    # It looks for its parent: killed, this script could end nothing any more.
    "$python" -c "import os
while os.getppid() == $$: sum(range(100_000))" &
    loops="$loops $!"
done
"$python" -m pytest "$@"
