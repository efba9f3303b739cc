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

# The C file without comments and without what stands between quotes, line by line: so that the checks see code only.
# Include lines keep their quotes.
code_of() {
    awk '
        /^[ \t]*#[ \t]*include/ && !inside { print; next }
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
            print out
        }' "$root/$1"
}

# ban_in_code REGEX MESSAGE FILE...: complains for each line of code that matches the extended regular expression.
ban_in_code() {
    local regex=$1 message=$2 file line
    shift 2
    for file in "$@"; do
        while IFS=: read -r line _; do complain "$file:$line" "$message"; done < <(code_of "$file" | grep -nE -e "$regex" || true)
    done
}

# ban_in_text REGEX MESSAGE FILE...: the same for whole lines of any text file.
ban_in_text() {
    local regex=$1 message=$2 file line
    shift 2
    if [ $# = 0 ]; then return; fi
    while IFS=: read -r file line _; do complain "$file:$line" "$message"; done \
        < <(cd "$root" && { grep -nHE -e "$regex" -- "$@" || true; })
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
