#!/usr/bin/env bash
# radosgw.sh DIR S3PORT MONPORT: a small Ceph in memory with an S3 server before it and a user AKTESTAKTEST.
# Needs the packages ceph-mon ceph-osd ceph-common radosgw. Ends by itself never: kill the pids in DIR/run.
set -euo pipefail
dir=$1 port=$2 monitor=$3
mkdir -p "$dir"/{mon,osd,rgw,run}
fsid=$(cat /proc/sys/kernel/random/uuid)
osd=$(cat /proc/sys/kernel/random/uuid)
cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$monitor
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
run dir = $dir/run
admin socket = $dir/run/\$name.asok
log file = $dir/\$name.log
pid file = $dir/run/\$name.pid
keyring = $dir/keyring
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[mon.a]
mon data = $dir/mon
[osd.0]
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 1073741824
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = $dir/rgw
CONF
conf=(-c "$dir/ceph.conf")
ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool "$dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
monmaptool --create --addv a "[v1:127.0.0.1:$monitor]" --fsid "$fsid" "$dir/monmap" >/dev/null
ceph-mon "${conf[@]}" --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
ceph-mon "${conf[@]}" -i a
ceph "${conf[@]}" osd new "$osd" >/dev/null
ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$osd" 2>/dev/null
# Refused as of a wrong fsid where it asks its monitor before it has been told the map.
for _ in $(seq 10); do
    ceph-osd "${conf[@]}" -i 0 2>/dev/null && break
    sleep .2
done
[ -e "$dir/run/osd.0.pid" ] || {
    tail -n 5 "$dir/osd.0.log" >&2
    exit 1
}
radosgw "${conf[@]}" -n client.rgw
for _ in $(seq 120); do
    curl -s -o /dev/null -m1 "http://127.0.0.1:$port" && break
    sleep .5
done
radosgw-admin "${conf[@]}" -n client.rgw user create --uid t --display-name t \
    --access-key AKTESTAKTEST --secret-key SKTESTSKTESTSKTEST >/dev/null 2>&1
echo "ready http://127.0.0.1:$port"
