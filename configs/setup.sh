#!/bin/sh
# configs/setup.sh: install what building, running and testing Flyback needs on Debian 12.
#
#   sh configs/setup.sh      from anywhere
#   . configs/setup.sh       from the project's top folder, in a shell or a script
#
# The packages are those of configs/debian-packages.txt. Those that are there already are left alone: when
# all are, this takes a fraction of a second and asks nothing of the network.

fly_setup_list()
{
    # bash tells where a sourced file lies; plain sh does not, so the top folder is tried as well.
    for fly_dir in "$(dirname "${BASH_SOURCE:-$0}")" configs "$(dirname "$0")/../configs"; do
        if [ -f "$fly_dir/debian-packages.txt" ]; then
            sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$fly_dir/debian-packages.txt"
            return 0
        fi
    done
    echo "setup: debian-packages.txt not found: run sh configs/setup.sh, or source it from the top folder" >&2
    return 1
}

# Names of the packages in $1 that dpkg does not have installed. dpkg-query is asked once for all.
fly_setup_missing()
{
    # shellcheck disable=SC2086 # a list of words is meant
    fly_there=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $1 2>/dev/null | sed -n 's/ installed$//p')
    for fly_package in $1; do
        case "
$fly_there
" in
            *"
$fly_package
"*) ;;
            *) printf '%s ' "$fly_package" ;;
        esac
    done
}

fly_setup()
{
    if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: this is no Debian system (no dpkg-query or apt-get); install what" >&2
        echo "       configs/debian-packages.txt names by hand" >&2
        return 1
    fi
    fly_packages=$(fly_setup_list) || return 1
    fly_missing=$(fly_setup_missing "$fly_packages")
    if [ -z "$fly_missing" ]; then
        echo "setup: all packages are installed"
        return 0
    fi

    fly_sudo=
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "setup: these packages are missing, and you are neither root nor have sudo:" >&2
            echo "       $fly_missing" >&2
            echo "       ask an administrator to run: apt-get install $fly_missing" >&2
            return 1
        fi
        fly_sudo=sudo
    fi
    echo "setup: installing $fly_missing"
    echo "setup: apt-get update"
    # A stale list of one repository need not matter; the install tells.
    $fly_sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
        echo "setup: apt-get update had errors; trying with the lists there are" >&2
    # shellcheck disable=SC2086
    if ! $fly_sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $fly_missing; then
        echo "setup: apt-get could not install: $fly_missing" >&2
        return 1
    fi
    fly_missing=$(fly_setup_missing "$fly_packages")
    if [ -n "$fly_missing" ]; then
        echo "setup: still missing after the install: $fly_missing" >&2
        return 1
    fi
    echo "setup: done"
}

fly_setup
