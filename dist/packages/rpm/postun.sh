# After the files are gone; $1 is 0 at a removal. There is no purge here: what the daemon wrote stays too.
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
if [ "$1" -eq 0 ]; then
    for kept in /etc/twinbeat /var/lib/twinbeat; do
        if [ -d "$kept" ]; then echo "twinbeat: $kept is kept; rm -r $kept when nobody needs it" >&2; fi
    done
fi
exit 0
