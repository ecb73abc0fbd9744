#!/bin/sh
# Prepares a machine to run maglane: installs system tools, then npm packages and the pinned Node.
# When all is installed, it does nothing and ends in well under a second. Without root or apt it
# lists the missing tools and does the rest. With the argument vm it also checks the tools that boot
# stock kernels (make networks-vm).
set -eu
cd "$(dirname "$0")/.."
purpose=${1:-}

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# One line per tool: the test for it, then its package in Debian, Fedora, Arch and Alpine.
tools_always() {
	cat <<-'TOOLS'
		command npm npm nodejs-npm npm npm
		command clang clang clang clang clang
		command clang-format clang-format clang-tools-extra clang clang-extra-tools
		file /usr/include/bpf/bpf_helpers.h libbpf-dev libbpf-devel libbpf libbpf-dev
		file /usr/include/linux/bpf.h linux-libc-dev kernel-headers linux-api-headers linux-headers
		command bpftool bpftool bpftool bpf bpftool
		command ip iproute2 iproute iproute2 iproute2
		command ping iputils-ping iputils iputils iputils-ping
		command nsenter util-linux util-linux util-linux util-linux-misc
		command ethtool ethtool ethtool ethtool ethtool
		command tcpdump tcpdump tcpdump tcpdump tcpdump
		command curl curl curl curl curl
		command openssl openssl openssl openssl openssl
		command dig bind9-dnsutils bind-utils bind bind-tools
		command dnsmasq dnsmasq-base dnsmasq dnsmasq dnsmasq
		command kubectl kubectl kubernetes-client kubectl kubectl
		command g++ g++ gcc-c++ gcc g++
		command python3 python3 python3 python python3
		module ensurepip python3-venv python3 python python3
	TOOLS
}

tools_vm() {
	cat <<-'TOOLS'
		command qemu-system-x86_64 qemu-system-x86 qemu-system-x86 qemu-system-x86 qemu-system-x86_64
		command busybox busybox-static busybox busybox busybox-static
		command modprobe kmod kmod kmod kmod
		command xz xz-utils xz xz xz
		command clang-14 clang-14 clang14 clang14 clang14
		command wg wireguard-tools wireguard-tools wireguard-tools wireguard-tools
	TOOLS
	newest_clang
}

# The newest of the numbered compilers that apt has.
newest_clang() {
	have apt-cache || return 0
	name=$(apt-cache search --names-only '^clang-[0-9]+$' | sed 's/ .*//' | sort -t- -k2n | tail -n 1)
	[ -z "$name" ] || echo "command $name $name clang clang clang"
}

missing() {
	{ tools_always; [ "$purpose" != vm ] || tools_vm; } | while read -r kind what debian fedora arch alpine; do
		case $kind in
		command) have "$what" || [ -x "/usr/sbin/$what" ] || [ -x "/sbin/$what" ] ;;
		file) [ -e "$what" ] ;;
		module) have python3 && python3 -c "import $what" 2>/dev/null ;;
		esac || printf '%s %s %s %s %s\n' "$what" "$debian" "$fedora" "$arch" "$alpine"
	done
}

candidate() { apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)" { found = 1 } END { exit !found }'; }

# Before release 13, Debian has kubectl in kubernetes-client; before 24.10, Ubuntu has bpftool in
# linux-tools.
apt_name() {
	case $1 in
	kubectl) candidate kubectl && echo kubectl || echo kubernetes-client ;;
	bpftool) candidate bpftool && echo bpftool || echo linux-tools-common linux-tools-generic ;;
	*) echo "$1" ;;
	esac
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$apt_log" 2>&1
}

install_tools() {
	apt_log=$(mktemp)
	trap 'rm -f "$apt_log"' EXIT
	say "reading the package lists (apt-get update)"
	apt-get update >"$apt_log" 2>&1 || { cat "$apt_log"; say "apt-get update failed; continuing with the existing lists"; }
	packages=$(echo "$1" | while read -r _ debian _; do apt_name "$debian"; done | tr '\n' ' ')
	say "installing by apt: $packages"
	# shellcheck disable=SC2086
	apt_install $packages && return
	say "that failed; trying the packages one by one"
	for package in $packages; do
		apt_install "$package" || { tail -n 3 "$apt_log"; say "could not install $package"; }
	done
}

column() { echo "$1" | awk -v n="$2" '{ printf "%s ", $n }'; }

print_remedy() {
	say "missing here: $(column "$1" 1)"
	say "  Debian, Ubuntu:  apt-get install $(column "$1" 2)"
	say "  Fedora:          dnf install $(column "$1" 3)"
	say "  Arch:            pacman -S $(column "$1" 4)"
	say "  Alpine:          apk add $(column "$1" 5)"
	say "steps that need them are skipped; the rest continues"
}

tools() {
	wanted=$(missing)
	[ -n "$wanted" ] || return 0
	if [ "$(id -u)" = 0 ] && have apt-get; then
		install_tools "$wanted"
		wanted=$(missing)
		[ -n "$wanted" ] || return 0
	fi
	print_remedy "$wanted"
}

lock_hash() { cksum package.json package-lock.json; }

node_version=$(sed -n 's/.*"node": "\([0-9][0-9.]*\)".*/\1/p' package.json)
npm_version=11.19.1

# npm skips packages that do not support its own Node: with an old Node, parts of the tools would be
# missing without a message. Then this installs the pinned Node and a matching npm aside, to run
# the rest.
choose_npm() {
	if [ "$(node -p 'Number(process.versions.node.split(".")[0] >= 22)' 2>/dev/null)" = 1 ]; then
		npm=npm
		return
	fi
	case $(uname -m) in
	x86_64) arch=x64 ;;
	aarch64) arch=arm64 ;;
	*) arch=$(uname -m) ;;
	esac
	aside=.cache/npm
	if [ ! -x "$aside/node_modules/node-linux-$arch/bin/node" ]; then
		say "npm runs on Node $(node --version): installing Node $node_version beside it"
		mkdir -p "$aside"
		npm install --prefix "$aside" --no-save --no-package-lock --ignore-scripts --loglevel=error --no-audit --no-fund \
			"node-linux-$arch@$node_version" "npm@$npm_version" >/dev/null
	fi
	npm="$aside/node_modules/node-linux-$arch/bin/node $aside/node_modules/npm/bin/npm-cli.js"
}

# Runs only the install scripts of Node, esbuild and the FFIs.
packages() {
	stamp=node_modules/.maglane-setup
	if [ -x node_modules/.bin/node ]; then
		[ "$(cat "$stamp" 2>/dev/null)" != "$(lock_hash)" ] || return 0
		# installed by hand with npm: nothing to do if the versions match the lock file
		if node_modules/.bin/node scripts/packages-match.cjs; then
			{ lock_hash >"$stamp"; } 2>/dev/null || say "node_modules belongs to another user; it is as it should be"
			return 0
		fi
	fi
	if ! have npm; then
		say "npm is missing: nothing can run without it (see the list above)"
		exit 1
	fi
	choose_npm
	say "installing npm packages"
	$npm ci --ignore-scripts --no-progress --loglevel=error
	say "installing Node $node_version"
	$npm rebuild node esbuild koffi --loglevel=error >/dev/null
	build_second_ffi
	lock_hash >"$stamp"
}

# Uses the headers of the pinned Node, so that node-gyp downloads nothing.
build_second_ffi() {
	headers=$(cd node_modules/node/node_modules/node-*-* 2>/dev/null && pwd) || headers=
	[ -d "$headers/include/node" ] || headers=
	log=$(mktemp)
	say "building the second FFI adapter (ffi-napi)"
	if ! npm_config_nodedir=$headers $npm rebuild @2060.io/ref-napi ref-napi ffi-napi --loglevel=error >"$log" 2>&1; then
		tail -n 5 "$log"
		say "ffi-napi could not be built (it needs g++, make and python3): --ffi=ffi-napi is not there, koffi is"
	fi
	rm -f "$log"
}

tools
packages
if [ ! -x node_modules/.bin/node ]; then
	say "node_modules/.bin/node is missing: npm could not install Node for $(uname -m); see the messages above"
	exit 1
fi
