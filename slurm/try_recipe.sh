#!/bin/bash
# Tests the steps of slurm/Dockerfile without Docker: each line is executed in a chroot of a bare Debian made by
# debootstrap; then the installed project is tested with `doctor` and a small `render`.
#
#   slurm/try_recipe.sh [FOLDER]      FOLDER: for the Debian, 3 GB; default: a new one. It is removed at the end, unless
#                                     KEEP=yes (to examine a failure: chroot FOLDER).
#
# Needs root, debootstrap, and apt and pip with access to the internet; the Debian uses the pip settings of this system.
# LEND names folders of wheels that these settings need, e.g.  LEND="/srv/wheels /srv/index" slurm/try_recipe.sh
set -euo pipefail

project=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${INSIDE:-}" ]; then
    if [ $# -gt 0 ]; then
        mkdir -p "$1"
        [ -z "$(ls -A "$1")" ] || { echo "error: $1 is not empty: give another folder" >&2; exit 2; }
        root=$(cd "$1" && pwd)
    else
        root=$(mktemp -d /var/tmp/bl30k-recipe.XXXXXX)
    fi
    # All mounts are made in a separate namespace and end with it. The folder is removed outside of that namespace, where
    # nothing is mounted, so files of mounted folders cannot be removed.
    [ -n "${KEEP:-}" ] || trap 'rm -rf --one-file-system "$root"' EXIT
    INSIDE=$root unshare --mount --propagation private bash "$0"
    exit
fi
root=$INSIDE

directory=/
settings=()
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "${lent[@]}" "${settings[@]}" \
        chroot "$root" sh -c 'cd "$1" && shift && exec "$@"' - "$directory" "$@"
}

make_debian() {
    debootstrap --variant=minbase bookworm "$root" ${MIRROR:-} > /dev/null
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/dev"
    mkdir -m 1777 "$root/dev/shm"
    for device in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
        read -r name numbers <<< "$device"
        mknod -m 666 "$root/dev/$name" c $numbers
    done
    ln -s /proc/self/fd "$root/dev/fd"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
}

# Copies or mounts what pip needs to reach its index: settings, a certificate of this network, folders.
lend_pip() {
    mapfile -t lent < <(env | grep -E '^(PIP_|https?_proxy=|HTTPS?_PROXY=|no_proxy=|NO_PROXY=)' || true)
    for file in /etc/pip.conf "$HOME/.config/pip/pip.conf"; do
        [ ! -e "$file" ] || install -D -m 644 "$file" "$root$file"
    done
    local certificates=${PIP_CERT:-${SSL_CERT_FILE:-}}
    if [ -n "$certificates" ]; then
        cp "$certificates" "$root/certificates.of.this.network"
        lent+=(PIP_CERT=/certificates.of.this.network)
    fi
    for folder in ${LEND:-}; do
        mkdir -p "$root$folder"
        mount --bind -o ro "$folder" "$root$folder"
    done
}

# Copies the files in git, as in a fresh clone.
copy() {
    mkdir -p "$root$1"
    git -C "$project" ls-files -z | tar -C "$project" --null --files-from=- -cf - | tar -C "$root$1" -xf -
}

follow() {
    local word rest
    while read -r word rest; do
        case $word in
            FROM) echo "--- $rest: by debootstrap" ; make_debian ; lend_pip ;;
            COPY) echo "--- COPY $rest" ; copy "${rest#. }" ;;
            WORKDIR) directory=$rest ;;
            ENV) settings+=($rest) ;;
            RUN) echo "--- RUN $rest" ; inside sh -c "$rest" < /dev/null ;;
            ENTRYPOINT) mapfile -t entry < <(grep -o '"[^"]*"' <<< "$rest" | tr -d '"') ;;
            *) echo "error: slurm/Dockerfile: this script knows no $word" >&2 ; exit 2 ;;
        esac
    done < <(sed -e '/^#/d' -e '/^[[:space:]]*$/d' -e ':join' -e '/\\$/N; s/\\\n[[:space:]]*//; tjoin' "$project/slurm/Dockerfile")
}

lent=()
follow
inside du -shc /usr /var "$directory" | sed -n 's/total/in all/p'
echo "--- doctor"
inside "${entry[@]}" doctor --device cpu --out /out
echo "--- render"
inside "${entry[@]}" render --config render_configs/demo.yaml --draft --count 1 --out /out/try --device cpu
inside "${entry[@]}" verify /out/try --deep
echo "The steps of slurm/Dockerfile work."
