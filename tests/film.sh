#!/usr/bin/env bash
# Makes the film that the tests publish: it says in each picture which one it is, and flashes when it beeps.
#
#   tests/film.sh <width>x<height> <frames> <file> <FFmpeg's arguments for both encoders…>
#
# 30 pictures a second. Across the top run 16 squares: white, black, the picture's number in 12 bits (most significant first), their parity,
# and a flash in every 20th picture and the one after it, where a beep of 1000 Hz begins, 60 ms long. Grain that stands still makes keyframes
# as large as a camera's. FFMPEG names another FFmpeg than the system's. The file is there whole or not at all.
set -euo pipefail

size=$1 frames=$2 file=$3
shift 3
square=$((${size%x*} / 16))
seconds=$(awk "BEGIN { print $frames / 30 }")

box() { # box <first square> <how many> <colour> [when]
    printf ",drawbox=x=%d:y=0:w=%d:h=%d:color=%s:t=fill:enable='%s'" \
        $(($1 * square)) $(($2 * square)) "$square" "$3" "${4:-1}"
}

squares=$(box 0 16 black)$(box 0 1 white)
parity=0
for bit in {11..0}; do
    one="mod(floor(n/$((1 << bit))),2)"
    squares+=$(box $((13 - bit)) 1 white "$one")
    parity+="+$one"
done
squares+=$(box 14 1 white "mod($parity,2)")$(box 15 1 white 'lt(mod(n,20),2)')

draft=$file.$$.${file##*.}
trap 'rm -f "$draft"' EXIT
"${FFMPEG:-ffmpeg}" -hide_banner -nostdin -loglevel error -y \
    -f lavfi -t "$seconds" -i "testsrc2=size=$size:rate=30" \
    -f lavfi -t "$seconds" -i "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t*1.5,1),0.09)':s=48000:c=stereo" \
    -vf "format=yuv420p,noise=alls=3$squares" -pix_fmt yuv420p "$@" "$draft"
mv "$draft" "$file"
