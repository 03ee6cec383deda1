# After the files are there; $1 is 1 at the first installation, more at an upgrade or a downgrade. As dist/packages/deb/postinst: it enables nothing
# and starts nothing, and what runs is restarted, which by the unit moves no address.
getent group twinbeat > /dev/null || groupadd --system twinbeat
[ -d /etc/twinbeat ] || mkdir -m 755 /etc/twinbeat

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || :
systemctl is-active --quiet twinbeat.service || exit 0
timeout 90 systemctl restart twinbeat.service ||
    echo "twinbeat: the restart has not come to its end: twinbeat status and systemctl status twinbeat say why" >&2
exit 0
