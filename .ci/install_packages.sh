#!/usr/bin/env bash
# Installs every Debian package that Sluice needs to build, test and demonstrate itself. Idempotent: a
# second run finds everything in place and changes nothing.
#
#   .ci/install_packages.sh            build + test + demo
#   .ci/install_packages.sh --list     print the packages, install nothing
set -euo pipefail

build=(
	build-essential cmake ninja-build ccache pkg-config git
	clang-19 clang-format-19 clang-tidy-19 llvm-19 libclang-rt-19-dev
	libelf-dev zlib1g-dev libmnl-dev libcap-dev
	libcurl4-openssl-dev libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
	prometheus-cpp-dev nlohmann-json3-dev libyaml-cpp-dev libspdlog-dev libfmt-dev libcli11-dev libexpected-dev libasio-dev libssl-dev
	libgtest-dev libgmock-dev libbenchmark-dev
)
# The backports suite: libbpf 1.4, bpftool 7.5 and the kernel headers that name TCX; the release has none of it.
backports=(libbpf-dev libbpf1 bpftool linux-libc-dev)
run=(
	iproute2 iputils-ping iperf3 netcat-openbsd procps util-linux kmod ethtool tcpdump strace
	containerd runc containernetworking-plugins busybox-static dash
	python3 python3-pytest python3-yaml python3-grpcio python3-protobuf
	python3-kubernetes python3-cryptography nftables iptables curl bind9-dnsutils
	qemu-system-x86 cpio xz-utils
)

# Go for the test cluster, where the machine has none of its own; 1.21 and later fetch the version that a module wants.
has_go() {
	local version
	version=$(GOTOOLCHAIN=local go version 2>/dev/null) || return 1
	[[ $version =~ go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 21))
}
has_go || backports+=(golang-go)

if [[ ${1:-} == --list ]]; then
	printf '%s\n' "${build[@]}" "${backports[@]}" "${run[@]}"
	exit 0
fi
if [[ $(id -u) != 0 ]]; then
	echo "install_packages: must run as root (apt-get)" >&2
	exit 1
fi
. /etc/os-release
if [[ ${VERSION_CODENAME:-} != bookworm ]]; then
	echo "install_packages: written for Debian 12 (bookworm); this is ${PRETTY_NAME:-unknown}" >&2
	exit 1
fi

missing() {
	local p
	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || echo "$p"
	done
}
# A package counts as the backport only when its version says so.
missing_backports() {
	local p
	for p in "$@"; do
		dpkg-query -W -f '${Version}\n' "$p" 2>/dev/null | grep -q '[~+]\(bpo12\|deb12u[0-9]*~bpo\)' || echo "$p"
	done
}

# The mirror of the machine's own sources, in either format apt has.
mirror() {
	sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\/debian\/\?\)[[:space:]]*$/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null || true
	sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\?\([^[:space:]]*\/debian\/\?\)[[:space:]]\+bookworm[[:space:]].*/\2/p' \
		/etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true
}

want=($(missing "${build[@]}" "${run[@]}"))
want_backports=($(missing_backports "${backports[@]}"))
if ((${#want[@]} + ${#want_backports[@]} == 0)); then
	exit 0
fi
if ((${#want_backports[@]})); then
	uri=$(mirror | head -n 1)
	if [[ -z $uri ]]; then
		echo "install_packages: no Debian mirror found in /etc/apt; add one and run again" >&2
		exit 1
	fi
	list=/etc/apt/sources.list.d/sluice-backports.list
	echo "deb $uri bookworm-backports main" >"$list.new"
	mv "$list.new" "$list"
fi
export DEBIAN_FRONTEND=noninteractive
# A daemon that a package starts would own ports and devices of the machine: none is started here.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
apt-get update -q
if ((${#want[@]})); then
	echo "install_packages: installing ${want[*]}"
	apt-get install -q -y --no-install-recommends "${want[@]}"
fi
if ((${#want_backports[@]})); then
	echo "install_packages: installing from backports ${want_backports[*]}"
	apt-get install -q -y --no-install-recommends -t bookworm-backports "${want_backports[@]}"
fi
