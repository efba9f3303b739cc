#!/usr/bin/env bash
# check_layering.sh [ROOT]: fails when a folder of src/ includes or calls what the table in layers.txt does not allow, or
# when a public header shows mpi.h, hdf5.h or cblas.h to its users.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${1:-$here/../..}
root=$(cd "$root" && pwd)
. "$here/checks.sh"

declare -A may folder_of_header system_folders denied exceptions
call_regexes=() call_folders=()
while read -r word first rest; do
    case $word in
    "" | \#*) ;;
    may) may[$first]=" $first $rest " ;;
    except) exceptions[$first]=" $rest " ;;
    header) folder_of_header[$first]=$rest ;;
    system) system_folders[$first]=" $rest " ;;
    calls) call_regexes+=("$first") call_folders+=(" $rest ") ;;
    deny) denied[$first]=" $rest " ;;
    *) complain tests/lint/layers.txt "unknown word '$word'" ;;
    esac
done < "$here/layers.txt"

# check_include FILE LINE FOLDER HEADER
check_include() {
    local file=$1 line=$2 folder=$3 header=$4 name owner
    if [[ "${denied[$folder]:-}" == *" $header "* ]]; then
        complain "$file:$line" "$folder must not include $header"
    fi
    if [ -n "${system_folders[$header]:-}" ]; then
        if [[ "${system_folders[$header]}" != *" $folder "* ]]; then
            complain "$file:$line" "$folder must not include $header (only:${system_folders[$header]% })"
        fi
        return
    fi
    case $header in
    cnnbn/*)
        name=${header#cnnbn/}
        owner=${folder_of_header[$name]:-}
        if [ -z "$owner" ]; then
            complain "$file:$line" "$header has no folder: add a 'header' line to tests/lint/layers.txt"
            return
        fi
        ;;
    *)
        # A private header belongs to the folder it lies in; the includer's own folder is searched first.
        if [ -n "$(find "$root/src/$folder" -type f -path "*/$header" -print -quit)" ]; then return; fi
        owner=$(cd "$root" && find src -type f -path "*/$header" | cut -d/ -f2 | LC_ALL=C sort -u | head -n 1)
        if [ -z "$owner" ]; then return; fi
        ;;
    esac
    if [[ "${may[$folder]}${exceptions[$file]:-}" != *" $owner "* ]]; then
        complain "$file:$line" "$folder must not include $header, which belongs to $owner (allowed:${may[$folder]% })"
    fi
}

includes_of() {
    code_of "$1" | sed -nE 's/^[ ]*#[ ]*include[ ]*[<"]([^>"]+)[>"].*/\1/; t show; b; :show =; p' | paste - -
}

while read -r file; do
    folder=$(cut -d/ -f2 <<< "$file")
    if [ -z "${may[$folder]:-}" ]; then
        complain "$file" "folder src/$folder is not in tests/lint/layers.txt"
        continue
    fi
    while read -r line header; do check_include "$file" "$line" "$folder" "$header"; done < <(includes_of "$file")
    for i in "${!call_regexes[@]}"; do
        if [[ "${call_folders[i]}" != *" $folder "* ]]; then
            ban_in_code "${call_regexes[i]}" "$folder must not call this (only:${call_folders[i]% })" "$file"
        fi
    done
done < <(list_files '*.c *.h *.inc' src)

# A public header is part of the folder that implements it; and it shows no third party to the user.
while read -r file; do
    name=${file#include/cnnbn/}
    folder=${folder_of_header[$name]:-}
    if [ -z "$folder" ]; then
        complain "$file" "has no folder: add a 'header' line to tests/lint/layers.txt"
        continue
    fi
    while read -r line header; do
        if [ -n "${system_folders[$header]:-}" ]; then
            complain "$file:$line" "a public header must not include $header"
        else
            check_include "$file" "$line" "$folder" "$header"
        fi
    done < <(includes_of "$file")
done < <(list_files '*.h' include)

finish layering
