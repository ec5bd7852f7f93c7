#!/bin/sh
# Installs bubblewrap, which makes the jail of the profiles shell and full. Does nothing where it is there already.
set -eu

# Ends the script: with 0 if the bubblewrap that is here is new enough. 0.8 brought --disable-userns, without which what
# runs in the jail could make one of its own and be root in it.
judge() {
    said=$(bwrap --version 2>&1) || said="$said, which does not start"
    number=${said##* }
    major=${number%%.*}
    minor=${number#*.}
    minor=${minor%%.*}
    if [ "$major" -gt 0 ] 2>/dev/null || [ "$minor" -ge 8 ] 2>/dev/null; then
        echo "bubblewrap is here: $said"
        exit 0
    fi
    echo "bubblewrap 0.8 or newer is needed; here is: $said. Debian 12, Ubuntu 24.04 and newer ones have it." >&2
    exit 1
}

if command -v bwrap >/dev/null 2>&1; then judge; fi
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
judge
