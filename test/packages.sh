#!/bin/sh
# Installs the Debian packages named on the command line, if they aren't there. A freshly installed openssh-server would
# listen on port 22 at once and at every boot: for those who only came to try keyswitchd, it is not started or enabled.
set -eu

missing=
for p in "$@"; do
	dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
	root=sudo
	command -v sudo >/dev/null || { echo "needed, and root has to install them: apt-get install$missing" >&2; exit 1; }
fi
echo "installing$missing" >&2
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$root rm -f $policy' EXIT INT TERM
	printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
	$root chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
quiet="-q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
# shellcheck disable=SC2086 # both are lists of words
{
	$root apt-get $quiet update >&2
	$root apt-get $quiet install -y --no-install-recommends $missing >&2
}
case " $missing " in
*" openssh-server "*)
	if [ -d /run/systemd/system ]; then
		$root systemctl disable ssh.service ssh.socket >/dev/null 2>&1 || true
		echo "openssh-server was installed for the simulation; it is not running and not enabled" >&2
	fi ;;
esac
