#!/bin/sh
# Sets up everything that `make` needs: Debian packages, a virtual environment in .venv, the package with its native
# code. Looks at everything before it changes anything; a second run finds nothing to do and ends at once.
#
# Usage: install.sh [qemu]    qemu: what the qemu lab needs too; its kernel is unpacked below .venv, not installed
#
# Environment: PYTHON    the interpreter for .venv (default: the first 3.11 or newer that is found)
#              SBIN      where administrators' programs are, for users whose PATH lacks it
set -eu
cd "$(dirname "$0")/.."

OLDEST_PYTHON=3.11
BIN=.venv/bin
STAMP=.venv/set-up
KERNEL=.venv/linux-image
qemu=${1-}
PATH=$PATH:${SBIN-/usr/sbin:/sbin}

# What must be there:  program or file | Debian package | what for
needs() {
	cat <<-'TABLE'
		true|coreutils|stands for mkfs and fsck of tmpfs
		gcc|gcc|compiles the native code
		/usr/include/stdio.h|libc6-dev|compiles the native code
		linux.uml|user-mode-linux|the kernel of the uml lab
		dmsetup|dmsetup|fault injection with device-mapper
		losetup|mount|loop devices
		mount|mount|mounts the filesystem under test
		modprobe|kmod|loads the modules of guest kernels
		mke2fs|e2fsprogs|ext2, ext3 and ext4
		mkfs.xfs|xfsprogs|xfs
		mkfs.btrfs|btrfs-progs|btrfs
		mkfs.f2fs|f2fs-tools|f2fs
		mkfs.jfs|jfsutils|jfs
		mkfs.reiserfs|reiserfsprogs|reiserfs
		fio|fio|what make bench compares with
		shellcheck|shellcheck|checks the scripts that torture export writes
	TABLE
	[ -z "$qemu" ] || cat <<-'TABLE'
		qemu-system-x86_64|qemu-system-x86|the machine of the qemu lab
		busybox|busybox-static|the first file system of a guest in the qemu lab
		file|file|tells the version of a kernel image
	TABLE
}

say() { printf 'set-up: %s\n' "$*" >&2; }

fail() {
	printf 'set-up: %s\n' "$@" >&2
	exit 1
}

there() {
	case $1 in
	/*) test -e "$1" ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

# --- What is missing -------------------------------------------------------------------------------------------------

new_enough() { "$1" -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$OLDEST_PYTHON'.split('.'))))" 2>/dev/null; }

# The distribution's interpreter comes first: every user of the machine, and a guest kernel, can run it.
find_python() {
	for candidate in ${PYTHON:-/usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11}; do
		if there "$candidate" && new_enough "$candidate"; then
			"$candidate" -c 'import sys; print(sys.executable)'
			return
		fi
	done
}

# Returns when a package can bring an interpreter.
refuse_old_python() {
	[ -z "${PYTHON-}" ] || fail "PYTHON=$PYTHON is no Python $OLDEST_PYTHON or newer. Nothing was changed."
	! there /usr/bin/python3 || fail \
		"Python $OLDEST_PYTHON or newer is needed, and none was found (/usr/bin/python3 is older). Nothing was changed." \
		"Install one and name it: make demo PYTHON=/path/to/python$OLDEST_PYTHON"
}

# Rows of needs() for what the interpreter $1 lacks to make an environment and to compile against.
python_needs() {
	"$1" -c 'import ensurepip, venv' 2>/dev/null ||
		echo "ensurepip|$(debian_name "$1")-venv|makes the virtual environment"
	"$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
		echo "Python.h|$(debian_name "$1")-dev|compiles the native code"
}

debian_name() {
	case $1 in
	/usr/bin/python3) echo python3 ;;
	*) "$1" -c 'import sys; print("python%d.%d" % sys.version_info[:2])' ;;
	esac
}

missing_rows() {
	needs | while IFS='|' read -r what package purpose; do
		there "$what" || echo "$what|$package|$purpose"
	done
	if [ -n "$python" ]; then
		python_needs "$python"
	elif [ "$current" = no ]; then
		echo "python3|python3|runs the tool"
		echo "ensurepip|python3-venv|makes the virtual environment"
		echo "Python.h|python3-dev|compiles the native code"
	fi
}

packages_of() { printf '%s\n' "$1" | cut -d'|' -f2 | sort -u | tr '\n' ' ' | sed 's/ $//'; }

explain() { printf '%s\n' "$1" | while IFS='|' read -r what package purpose; do say "  $package ($what: $purpose)"; done; }

# --- Packages --------------------------------------------------------------------------------------------------------

lists_there() { ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; }

offered() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }

# The rows in $1 whose package this distribution has; says which it has not (user-mode-linux is for x86 only).
offered_rows() {
	printf '%s\n' "$1" | while IFS='|' read -r what package purpose; do
		if offered "$package"; then
			echo "$what|$package|$purpose"
		else
			say "going on without $package ($what: $purpose): this distribution does not offer it"
		fi
	done
}

become_root() {
	if [ "$(id -u)" = 0 ]; then
		root=
	elif there sudo && sudo -n true 2>/dev/null; then
		root='sudo -n'
	else
		return 1
	fi
}

ask_administrator() {
	fail "these Debian packages are missing: $(packages_of "$1")" \
		'Installing them takes root, and there is no sudo without a password here.' \
		'Nothing was changed. An administrator must run this, as root, then repeat your command:' \
		"    apt-get update && apt-get install --yes --no-install-recommends $(packages_of "$1")"
}

name_tools() {
	say 'this is not Debian or a relative of it (no apt-get). Nothing was changed.'
	say 'Install these with your package manager, then repeat your command (Debian package, program or file, use):'
	explain "$1"
	exit 1
}

apt() { $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" >&2; }

install_packages() {
	rows=$1
	! lists_there || rows=$(offered_rows "$rows")
	[ -n "$rows" ] || return 0
	become_root || ask_administrator "$rows"
	say "installing missing packages, as $([ -z "$root" ] && echo root || echo "$root"):"
	explain "$rows"
	apt update --quiet=2 || fail 'apt-get update failed, see above. Nothing was changed.'
	rows=$(offered_rows "$rows")
	[ -z "$rows" ] || apt install --quiet --yes --no-install-recommends $(packages_of "$rows") ||
		fail 'apt-get install failed, see above.'
}

# --- The virtual environment -----------------------------------------------------------------------------------------

sources() { find verify workloads devicemapper torture -name '*.c'; }

compiled() {
	sources | while read -r source; do
		test -e "${source%.c}.abi3.so" || exit 1
	done
}

# True for an environment made in this very directory: its programs name their interpreter by full path.
made_here() { [ -x $BIN/python ] && grep -qsF "$PWD/$BIN/python" $BIN/pip; }

# True when nothing that the environment is made from has changed since.
is_current() {
	made_here && [ -x $BIN/torture ] && [ -e $STAMP ] &&
		[ -z "$(find pyproject.toml setup.py $(sources) -newer $STAMP)" ] && compiled
}

writable() { [ -w . ] && { [ ! -e .venv ] || [ -w .venv ]; }; }

make_environment() {
	made_here && new_enough $BIN/python && return
	say "making .venv with $python"
	"$python" -m venv --clear .venv || fail "$python cannot make a virtual environment, see above."
}

install_torture() {
	rm -f $STAMP
	touch $STAMP.begun
	# Never written over in place: a running torture may have them mapped.
	sources | sed 's/\.c$/.abi3.so/' | xargs rm -f
	rm -rf build
	say "installing torture and what it needs into .venv"
	$BIN/python -m pip install -qq --disable-pip-version-check --no-input --editable '.[test]' ||
		fail 'pip failed, see above. Nothing outside .venv was changed; repeat the command to try again.'
	mv $STAMP.begun $STAMP
}

# --- A kernel for the qemu lab ---------------------------------------------------------------------------------------

# A machine that boots has one; a container has none, and installing one would touch its boot files.
has_kernel() {
	for image in /boot/vmlinuz-* $KERNEL/boot/vmlinuz-*; do
		[ ! -r "$image" ] || return 0
	done
	return 1
}

fetch_kernel() {
	package=$(LC_ALL=C apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: //p;T;q')
	[ -n "$package" ] || {
		say 'going on without a kernel for the qemu lab: this distribution does not offer linux-image-amd64'
		return 0
	}
	say "fetching $package (a kernel for the qemu lab) and unpacking it in $KERNEL; it is not installed"
	rm -rf $KERNEL.begun && mkdir $KERNEL.begun
	if (cd $KERNEL.begun && apt-get -qq download "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb); then
		mv $KERNEL.begun $KERNEL
	else
		rm -rf $KERNEL.begun
		say 'going on without a kernel for the qemu lab: that failed, see above'
	fi
}

# ---------------------------------------------------------------------------------------------------------------------

current=no
python=
if is_current; then
	current=yes
elif ! writable; then
	fail "$PWD cannot be written, so .venv cannot be made there. Nothing was changed. Work in a clone of your own."
else
	python=$(find_python)
	[ -n "$python" ] || refuse_old_python
fi

missing=$(missing_rows)
if [ -n "$missing" ]; then
	there apt-get || name_tools "$missing"
	install_packages "$missing"
fi
if [ $current = no ]; then
	python=${python:-$(find_python)}
	make_environment
	install_torture
fi
if [ -n "$qemu" ] && ! has_kernel && there apt-get; then
	fetch_kernel
fi
