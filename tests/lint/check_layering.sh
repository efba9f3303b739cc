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

mapfile -t source_files < <(list_files '*.c *.h *.inc' src)
mapfile -t public_headers < <(list_files '*.h' include)
read_code "${source_files[@]}" "${public_headers[@]}"

# A private header belongs to the folder it lies in: by FOLDER:NAME, and by NAME alone to the first folder that has one.
declare -A is_private owner_of
for file in "${source_files[@]}"; do
    name=${file#src/} folder=${name%%/*}
    while [ "$name" != "${name#*/}" ]; do
        name=${name#*/}
        is_private[$folder:$name]=1
        owner_of[$name]=${owner_of[$name]:-$folder}
    done
done

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
        # The includer's own folder is searched first.
        if [ -n "${is_private[$folder:$header]:-}" ]; then return; fi
        owner=${owner_of[$header]:-}
        if [ -z "$owner" ]; then return; fi
        ;;
    esac
    if [[ "${may[$folder]}${exceptions[$file]:-}" != *" $owner "* ]]; then
        complain "$file:$line" "$folder must not include $header, which belongs to $owner (allowed:${may[$folder]% })"
    fi
}

# includes_of FILE...: FILE LINE HEADER for each include.
includes_of() {
    find_in "$code" '^[ ]*#[ ]*include[ ]*[<"]' "$@" | sed -nE 's/^([^:]*):([0-9]+):[ ]*#[ ]*include[ ]*[<"]([^>"]+)[>"].*/\1 \2 \3/p'
}

declare -A files_of
for file in "${source_files[@]}"; do
    folder=${file#src/} folder=${folder%%/*}
    if [ -z "${may[$folder]:-}" ]; then
        complain "$file" "folder src/$folder is not in tests/lint/layers.txt"
    else
        files_of[$folder]+="$file "
    fi
done
for folder in "${!files_of[@]}"; do
    read -ra files <<< "${files_of[$folder]}"
    while read -r file line header; do check_include "$file" "$line" "$folder" "$header"; done < <(includes_of "${files[@]}")
    for i in "${!call_regexes[@]}"; do
        if [[ "${call_folders[i]}" != *" $folder "* ]]; then
            ban_in_code "${call_regexes[i]}" "$folder must not call this (only:${call_folders[i]% })" "${files[@]}"
        fi
    done
done

# A public header is part of the folder that implements it; and it shows no third party to the user.
for file in "${public_headers[@]}"; do
    if [ -z "${folder_of_header[${file#include/cnnbn/}]:-}" ]; then
        complain "$file" "has no folder: add a 'header' line to tests/lint/layers.txt"
    fi
done
while read -r file line header; do
    folder=${folder_of_header[${file#include/cnnbn/}]:-}
    if [ -z "$folder" ]; then continue; fi
    if [ -n "${system_folders[$header]:-}" ]; then
        complain "$file:$line" "a public header must not include $header"
    else
        check_include "$file" "$line" "$folder" "$header"
    fi
done < <(includes_of "${public_headers[@]}")

finish layering
