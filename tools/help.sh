# Sourced first by the shell scripts of this folder (by the path of the script without its last part). With --help or -h
# before any word that is no option it prints the script's opening comment, with the shell alone, and ends the script; one
# that another shell was told to run goes on in its own.
# Give a closed descriptor a place, or the next file that anything opens gets its number, and what was meant for it: nothing
# is read from it, standard output can't be written, what is said on standard error is lost.
{ true <&0; } 2>/dev/null || exec </dev/null
{ true >&1; } 2>/dev/null || if [ -c /dev/full ]; then exec >/dev/full; else exec >/dev/null; fi
{ true >&2; } 2>/dev/null || exec 2>/dev/null
IFS= read -r line <"$0"
case $line in
    *bash) [ -n "${BASH_VERSION:-}" ] || exec /bin/bash "$0" "$@" ;;
esac
for word do
    case $word in
        -h | --help)
            while IFS= read -r line; do
                case $line in
                    '#!'*) ;;
                    '#'*) line=${line#\#}; printf '%s\n' "${line# }" 2>/dev/null || {
                        printf '%s: standard output: writing failed\n' "$0" >&2; exit 74; } ;;
                    *) exit 0 ;;
                esac
            done <"$0" ;;
        -*) ;;
        *) break ;;
    esac
done
unset line word

# say TEXT…: tells something on standard error, in one line with the script's name; where it can't be written it is lost, and neither
# `set -e` nor the signal of a reader that has left ends the script for that.
say() (
    trap '' PIPE
    printf 'tools/%s: %s\n' "${0##*/}" "$*" >&2 || :
)

# fail CODE TEXT…: ends the script with what went wrong.
fail() { code=$1; shift; say "$*"; exit "$code"; }

# complaint_of TEXT: prints the first of the errors in what apt-get said, or its last line.
complaint_of() { printf '%s\n' "$1" | sed -n -e '/^E: /{s///;s/ *\[IP: .*//;p;q;}' -e '$p'; }

# code_of COMPLAINT: prints the exit code of its kind: 74 where nothing more can be written, else 69.
code_of() {
    case $1 in
        *'No space left'* | *'enough free space'* | *'Disk quota'* | *'Read-only file'*) echo 74 ;;
        *) echo 69 ;;
    esac
}
