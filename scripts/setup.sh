#!/usr/bin/env bash
# Installs what is missing on Debian or Ubuntu, and says what and why:
#   scripts/setup.sh build    what building and running needs
#   scripts/setup.sh test     that, and the browser and the clients of the tests, and nginx, coturn and Pebble, unpacked and not installed
#   scripts/setup.sh obs      that, and OBS Studio, which `make soak` publishes with, and media-doctor, which looks at its playlists
#   scripts/setup.sh bench    nginx with its RTMP module, which `make bench` measures beside; unpacked, not installed
# Quick when nothing is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n==> %s\n' "$*"; }
die() { printf '\nerror: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null; }

# A toolchain installed a minute ago is not in this shell's PATH yet.
PATH="$HOME/.cargo/bin:$PATH"
have cargo || die 'no Rust toolchain. Install one and run this again:
    curl --proto "=https" --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal'

what=${1:-build}

missing=()
need() { # need <command> <package>
    have "$1" || missing+=("$2")
}

need cc build-essential
need node nodejs
need npm npm
# DTLS is by the system's libssl.
pkg-config --exists openssl 2>/dev/null || missing+=(pkg-config libssl-dev)
# The worker, `weir-transcoder`, is built on FFmpeg's libraries, and its bindings by libclang. `weir` needs neither.
pkg-config --exists libavcodec libavformat libavutil libswresample libswscale 2>/dev/null ||
    missing+=(pkg-config libavcodec-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev)
compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' >/dev/null || [ -n "${LIBCLANG_PATH:-}" ] || missing+=(libclang-dev)
if [ "$what" = test ] || [ "$what" = obs ]; then
    need chromium chromium
    need ffmpeg ffmpeg
    # Networks for the browser. Who is not root has no sbin in the PATH.
    need unshare util-linux
    PATH=$PATH:/usr/sbin:/sbin need ip iproute2
    PATH=$PATH:/usr/sbin:/sbin need nft nftables
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    # flvmux, rtmp2sink and x264enc are of three packages.
    { have gst-inspect-1.0 && gst-inspect-1.0 --exists flvmux && gst-inspect-1.0 --exists rtmp2sink &&
        gst-inspect-1.0 --exists x264enc; } ||
        missing+=(gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly)
fi
if [ "$what" = obs ]; then
    need obs obs-studio
    need Xvfb xvfb
fi

if [ ${#missing[@]} -gt 0 ]; then
    have apt-get || die "missing here: ${missing[*]} (names of Debian packages). Install them and run this again."
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        have sudo || die "missing here: ${missing[*]}. As root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "Installing by apt, because they are missing: ${missing[*]}"
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

node_major=$(node -p 'process.versions.node.split(".")[0]')
[ "$node_major" -ge 18 ] || die "Node.js $node_major is too old for the pages: 18 or newer, see https://nodejs.org"

if [ "$what" = test ] || [ "$what" = obs ]; then
    # A browser that is a stub (Ubuntu's package without snap) is a missing browser.
    chromium --version >/dev/null 2>&1 || die 'the browser does not start: `chromium --version` fails. On Debian: apt-get install --reinstall chromium'

    if ! target/tools/ffmpeg -version >/dev/null 2>&1; then
        say 'Installing an FFmpeg that can publish by WHIP into target/venv (Debian 12 has an older one)'
        mkdir -p target/tools
        python3 -m venv target/venv
        target/venv/bin/pip install --quiet --disable-pip-version-check "imageio-ffmpeg==0.8.1"
        ln -sf "$(target/venv/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')" target/tools/ffmpeg
        target/tools/ffmpeg -hide_banner -muxers | grep -q whip || die 'the FFmpeg in target/venv has no WHIP muxer'
    fi
fi

if [ "$what" = obs ] && ! target/tools/bin/media-doctor --version >/dev/null 2>&1; then
    say 'Installing media-doctor into target/tools (a few minutes)'
    cargo install --quiet --locked --root target/tools media-doctor@0.12.0
fi

# Debian's packages would start a server each: their files alone are enough.
unpack() { # unpack <folder> <packages…>
    local debs package deb folder=target/tools/$1
    shift
    debs=$(mktemp -d)
    mkdir -p "$folder"
    for package in "$@"; do (cd "$debs" && apt-get download -q "$package") || true; done
    for deb in "$debs"/*.deb; do dpkg -x "$deb" "$folder" || true; done
    rm -rf "$debs"
}
# In Debian 12 the program is in nginx, in older ones and Ubuntu in nginx-light.
unpack_nginx() { unpack nginx nginx nginx-light "$@"; }
if [ "$what" = bench ] && ! [ -e target/tools/nginx/usr/lib/nginx/modules/ngx_rtmp_module.so ] && have apt-get; then
    say 'Unpacking nginx and its RTMP module into target/tools/nginx, to measure beside it'
    unpack_nginx libnginx-mod-rtmp
    [ -e target/tools/nginx/usr/sbin/nginx ] || say 'apt-get cannot fetch it: the benchmarks go on without'
fi
if [ "$what" = test ] && ! PATH=$PATH:/usr/sbin:target/tools/nginx/usr/sbin command -v nginx > /dev/null; then
    have apt-get || die 'missing here: nginx. Install it and run this again.'
    say 'Unpacking nginx into target/tools/nginx: a test puts it in front as a cache'
    unpack_nginx
    [ -e target/tools/nginx/usr/sbin/nginx ] || die 'apt-get cannot fetch nginx: run apt-get update, or install nginx, and run this again.'
fi
if [ "$what" = test ] && ! have turnserver && ! [ -e target/tools/coturn/usr/bin/turnserver ]; then
    have apt-get || die 'missing here: coturn. Install it and run this again.'
    say 'Unpacking coturn into target/tools/coturn: a TURN server judges the credentials that clients are told'
    unpack coturn coturn libevent-core-2.1-7 libevent-extra-2.1-7 libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libhiredis0.14 libmariadb3 libpq5
    [ -e target/tools/coturn/usr/bin/turnserver ] || die 'apt-get cannot fetch coturn: run apt-get update, or install coturn, and run this again.'
fi
if [ "$what" = test ] && ! have pebble && ! [ -e target/tools/pebble/usr/bin/pebble ]; then
    have apt-get || die 'missing here: pebble (https://github.com/letsencrypt/pebble). Put it into the PATH and run this again.'
    say 'Unpacking Pebble into target/tools/pebble: a certificate authority for the tests of ACME'
    unpack pebble pebble
    [ -e target/tools/pebble/usr/bin/pebble ] || die 'apt-get cannot fetch pebble: run apt-get update, and this again.'
fi
