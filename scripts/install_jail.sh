#!/bin/sh
# Installs bubblewrap, which makes the jail of the profiles shell and full. Does nothing where it is there already.
set -eu

if command -v bwrap >/dev/null 2>&1; then
    echo "bubblewrap is here: $(bwrap --version)"
    exit 0
fi
if [ "$(uname -s)" != Linux ]; then
    echo "Only Linux can make a jail; the profiles shell and full stay refused here." >&2
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Install bubblewrap 0.8 or newer with the package manager of this system (dnf, pacman, zypper, apk: bubblewrap)." >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "Installing takes root: sudo apt-get install bubblewrap" >&2
    exit 1
fi
# The index of a fresh machine or container is empty.
apt-get install -qq -y --no-install-recommends bubblewrap >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends bubblewrap >/dev/null; }
bwrap --version
