# Before the files go; $1 is 0 at a removal, more at an upgrade, which stops nothing. A daemon that does not stop keeps its package.
[ "$1" -eq 0 ] && [ -d /run/systemd/system ] || exit 0
systemctl stop twinbeat.service || ! systemctl is-active --quiet twinbeat.service || exit 1
systemctl --no-reload disable twinbeat.service || :
