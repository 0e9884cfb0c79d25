#!/bin/sh
# Finds the shared libraries that Blender's wheel needs and this system lacks. Where there is apt-get, it installs
# them as root, and prints the command that does for other users.
#
#   sh system_libraries.sh [PYTHON]      PYTHON: the one that bpy is installed in; default: python3
set -eu

python=${1:-python3}
wheel=$("$python" -c 'import importlib.util as u; s = u.find_spec("bpy"); print(s.origin if s else "")')
if [ -z "$wheel" ]; then
    echo "error: $python has no bpy: install it with pip install '.[render]'" >&2
    exit 1
fi

missing() {
    ldd "$wheel" | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | sort -u
}

# The Debian and Ubuntu package that holds a library.
package() {
    case $1 in
        libGL.so.1) echo libgl1 ;;
        libICE.so.6) echo libice6 ;;
        libSM.so.6) echo libsm6 ;;
        libX11.so.6) echo libx11-6 ;;
        libXext.so.6) echo libxext6 ;;
        libXfixes.so.3) echo libxfixes3 ;;
        libXi.so.6) echo libxi6 ;;
        libXrender.so.1) echo libxrender1 ;;
        libXt.so.6) echo libxt6 ;;
        libXxf86vm.so.1) echo libxxf86vm1 ;;
        libgomp.so.1) echo libgomp1 ;;
        libstdc++.so.6) echo libstdc++6 ;;
        libxkbcommon.so.0) echo libxkbcommon0 ;;
        libz.so.1) echo zlib1g ;;
    esac
}

lacking=$(missing)
[ -n "$lacking" ] || exit 0
packages=$(for library in $lacking; do package "$library"; done | sort -u)
if [ -z "$packages" ] || ! command -v apt-get >/dev/null; then
    echo "error: Blender needs shared libraries that are not here; install the packages that hold:" $lacking >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "error: Blender needs shared libraries that are not here; run:" \
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends" $packages >&2
    exit 1
fi
echo "Installing the shared libraries that Blender needs:" $packages
apt-get update -qq
DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends $packages >/dev/null
lacking=$(missing)
if [ -n "$lacking" ]; then
    echo "error: Blender still lacks shared libraries; install the packages that hold:" $lacking >&2
    exit 1
fi
