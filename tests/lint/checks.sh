# Shared by the lint checks. To be sourced, with `root` set to the tree to look at.
# shellcheck shell=bash disable=SC2154

n_problems=0

# complain FILE[:LINE] MESSAGE...
complain() {
    local where=$1
    shift
    printf '%s: %s\n' "$where" "$*"
    n_problems=$((n_problems + 1))
}

# list_files 'PATTERN...' PLACE...: files below the folders or files given (relative to root; missing ones are left out)
# whose names match one of the patterns, one a line, sorted.
list_files() {
    local patterns=() expression=() places=() pattern place
    read -ra patterns <<< "$1"
    shift
    for pattern in "${patterns[@]}"; do expression+=(-o -name "$pattern"); done
    for place in "$@"; do
        if [ -e "$root/$place" ]; then places+=("$place"); fi
    done
    if [ "${#places[@]}" = 0 ]; then return; fi
    (cd "$root" && find "${places[@]}" \( -name .venv -o -name __pycache__ -o -name build \) -prune -o \
        -type f \( "${expression[@]:1}" \) -print) | LC_ALL=C sort
}

# The code of the C files that were given to read_code: a copy of each without comments and without what stands between quotes,
# line by line. Include lines keep their quotes.
code=$(mktemp -d)
trap 'rm -rf "$code"' EXIT

# read_code FILE...: makes the copies.
read_code() {
    if [ $# = 0 ]; then return; fi
    printf '%s\n' "$@" | sed 's|/[^/]*$||' | LC_ALL=C sort -u | (cd "$code" && xargs mkdir -p)
    (cd "$code" && touch -- "$@")
    (cd "$root" && LC_ALL=C awk -v code="$code/" '
        FNR == 1 { if (to) close(to); to = code FILENAME; inside = 0 }
        /^[ \t]*#[ \t]*include/ && !inside { print > to; next }
        !inside && !/["\047]|\/[*\/]/ { print > to; next }
        {
            out = ""; n = length($0); i = 1
            while (i <= n) {
                two = substr($0, i, 2); one = substr($0, i, 1)
                if (inside) { if (two == "*/") { inside = 0; i += 2 } else i++ }
                else if (two == "/*") { inside = 1; out = out " "; i += 2 }
                else if (two == "//") break
                else if (one == "\"" || one == "\047") {
                    quote = one; out = out quote; i++
                    while (i <= n && substr($0, i, 1) != quote) i += (substr($0, i, 1) == "\\") ? 2 : 1
                    out = out quote; i++
                }
                else { out = out one; i++ }
            }
            print out > to
        }' "$@")
}

# find_in FOLDER REGEX FILE...: FILE:LINE:TEXT for each line that matches the extended regular expression.
find_in() {
    local folder=$1 regex=$2
    shift 2
    if [ $# = 0 ]; then return; fi
    (cd "$folder" && { LC_ALL=C grep -nHE -e "$regex" -- "$@" || true; })
}

# ban_in_code REGEX MESSAGE FILE...: complains for each line of code that matches.
ban_in_code() {
    local regex=$1 message=$2 file line
    shift 2
    while IFS=: read -r file line _; do complain "$file:$line" "$message"; done < <(find_in "$code" "$regex" "$@")
}

# ban_in_text REGEX MESSAGE FILE...: the same for whole lines of any text file.
ban_in_text() {
    local regex=$1 message=$2 file line
    shift 2
    while IFS=: read -r file line _; do complain "$file:$line" "$message"; done < <(find_in "$root" "$regex" "$@")
}

# finish WHAT: the verdict, and the exit.
finish() {
    if [ "$n_problems" != 0 ]; then
        echo "$1: $n_problems problem(s)"
        exit 1
    fi
    echo "$1: clean"
    exit 0
}
