#!/usr/bin/env bash
# docs/cli.md and the programs' --help: the same options, and the same defaults where the help states one in a word.
set -u
page=$CNNBN_SOURCE/docs/cli.md
failures=0
n_checked=0
complain() {
    printf 'FAILED: %s\n' "$*" >&2
    failures=$((failures + 1))
}

# helped PROGRAM WORDS...: "--option|default" for each option of the help; an empty default where none is stated in a word.
helped() {
    ARGP_HELP_FMT=rmargin=2000 "$CNNBN_BIN/$1" "${@:2}" --help | awk '
        /^ +(-[a-zA-Z?], )?--/ {
            sub(/^ +(-[a-zA-Z?], )?/, "")
            n = 0
            while (match($0, /^--[a-z0-9-]+/)) {
                option[++n] = substr($0, 1, RLENGTH)
                sub(/^--[a-z0-9-]+(=[^ ]*[^ ,])?(, )?/, "")
            }
            default = ""
            if (match($0, /\(default:? [^ ,;:)]+[,;)]/)) {
                default = substr($0, RSTART, RLENGTH - 1)
                sub(/^.* /, "", default)
            }
            for (i = 1; i <= n; i++)
                if (option[i] !~ /^--(help|usage|version)$/) print option[i] "|" default
        }' | LC_ALL=C sort
}

# documented TITLE: "--option|default" for each option of the tables below the title.
documented() {
    awk -F'|' -v title="$1" '
        /^#/ { inside = $0 == title }
        inside && /^\| `--/ {
            while (match($2, /--[a-z0-9-]+/)) {
                print substr($2, RSTART, RLENGTH) "|" $4
                $2 = substr($2, RSTART + RLENGTH)
            }
        }' "$page" | LC_ALL=C sort
}

# agree TITLE PROGRAM WORDS...
agree() {
    local title=$1 option default stated
    helped "${@:2}" > help
    documented "$title" > docs
    [ -s help ] || complain "${*:2}: no options in its help"
    n_checked=$((n_checked + $(wc -l < help)))
    if ! diff <(cut -d'|' -f1 help) <(cut -d'|' -f1 docs) > difference; then
        complain "${*:2}: options of its help (<) and of docs/cli.md (>): $(grep '^[<>]' difference | paste -sd ' ')"
        return
    fi
    while IFS='|' read -r option default option stated; do
        if [ -n "$default" ] && [[ $stated != *" $default"[\ \;:]* && $stated != *"\`$default\`"* ]]; then
            complain "${*:2} $option: default $default in its help,$stated in docs/cli.md"
        fi
    done < <(paste -d'|' help docs)
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
for program in train eval predict info; do agree "## cnnbn-$program" "cnnbn-$program"; done
for command in 'import idx' 'import cifar' 'import folder' info split; do
    # shellcheck disable=SC2086 # words
    agree "### cnnbn-data $command" cnnbn-data $command
done
if [ -x "$CNNBN_BIN/cnnbn-convert" ]; then agree '## cnnbn-convert' cnnbn-convert; fi
[ "$n_checked" -gt 100 ] || complain "only $n_checked options were looked at"
[ "$failures" = 0 ] || exit 1
echo "docs/cli.md: $n_checked options as in the programs' help"
