#!/bin/bash
# Promise: manual pages and completions say what the programs' own help does: man formats each page without a warning, and
# bash, zsh and fish complete commands, options, their choices, and files.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

mkdir "$work/man1" "$work/man8"
starling manual "$work/man1" >"$work/output"
starlingd --print-man-page >"$work/man8/starlingd.8"
pages=$(find "$work"/man* -name '*.[18]')
expect_match "what it says" "$(cat "$work/output")" "^$(wc -l <<<"$(ls "$work/man1")") manual pages are in $work/man1$"
while read -r page; do
  MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" >/dev/null 2>"$work/warnings" || fail "$page: $(cat "$work/warnings")"
  [ ! -s "$work/warnings" ] || fail "$page: $(cat "$work/warnings")"
done <<<"$pages"
echo "ok: $(wc -l <<<"$pages") pages without a warning"

# Each option of each command's help is on its page.
while read -r page; do
  name=$(basename "$page" .1)
  read -ra words <<<"${name//-/ }"
  # Some names have dashes of their own.
  case $name in
    starling-image-*) words=(starling image "${name#starling-image-}") ;;
  esac
  "${words[@]}" --help >"$work/help" || fail "no command ${words[*]}"
  MANWIDTH=200 LC_ALL=C.UTF-8 man -l "$page" 2>/dev/null | col -b >"$work/text"
  for option in $(sed -n 's/^  \(-[^ ]*\).*/\1/p' "$work/help" | tr , '\n'); do
    grep -q -e "$option\b" "$work/text" || fail "$name.1 says nothing of $option"
  done
done <<<"$(find "$work/man1" -name '*.1')"
echo "ok: each option of each help is on a page"
expect "pages" "$(MANPATH=$work man -w starling-cache-pin)" "$work/man1/starling-cache-pin.1"

for shell in bash zsh fish; do starling completion "$shell" >"$work/completion.$shell"; done
touch "$work/some file"

# COMPLETIONS SHELL "WORDS": what it offers for the last one.
bash_offers() {
  (
    cd "$work"
    . "$work/completion.bash"
    read -ra COMP_WORDS <<<"$1"
    [[ $1 != *' ' ]] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _starling
    printf '%s\n' "${COMPREPLY[@]}" | sort | xargs
  )
}
fish_offers() {
  (cd "$work" && HOME=$work fish --no-config -c "source $work/completion.fish; complete -C '$1'" 2>&1 | cut -f 1 | sort | xargs)
}
# zsh completes only at a prompt: one on a terminal of its own, whose list is read.
zsh_offers() {
  python3 "$here/zsh_offers.py" "$work" "$1" | sort | xargs
}
for shell in bash zsh fish; do
  expect "$shell: a command" "$("${shell}_offers" 'starling pul')" pull
  expect "$shell: a command below another" "$("${shell}_offers" 'starling cache un')" unpin
  expect "$shell: commands below another" "$("${shell}_offers" 'starling cache ')" "clear evict ls pin unpin verify"
  expect "$shell: an option" "$("${shell}_offers" 'starling pull --plat')" --platform
  expect "$shell: an option of a command below another" "$("${shell}_offers" 'starling cache pin --mo')" --mount
  expect "$shell: choices of a value" "$("${shell}_offers" 'starling trace --cause d')" "decode disk"
  expect "$shell: choices of an argument" "$("${shell}_offers" 'starling completion ')" "bash fish zsh"
done
expect "bash: a file, by the shell itself" "$(bash_offers 'starling pull --secret so')" ""
expect "fish: a file" "$(fish_offers 'starling pull --secret so')" "some file"
expect "zsh: a file" "$(zsh_offers 'starling pull --secret so')" "some file"
echo PASS
