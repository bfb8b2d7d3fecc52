#!/bin/bash
# Written by Ansible. What there is to do with this machine's part of the cluster:
#   pilothouse-machine health [--wait SECONDS] [NAME…]    which processes are well; waits until all are
#   pilothouse-machine start NAME…                        starts those that do not run, and says which it started
#   pilothouse-machine restart NAME…                      restarts one after the other, each well before the next
#   pilothouse-machine prepare                            applies accounts, kernel settings and units that were just written
#   pilothouse-machine etcd-state                         what etcd is here: member, beginning, or none
#   pilothouse-machine etcd-admit NAME ADDRESS            makes room for a member, and prints how it is to begin
#   pilothouse-machine images FOLDER                      brings the images of a release to containerd
#   pilothouse-machine label-master                       says on this machine's Node object that it is a master
#   pilothouse-machine authorities                        prints the authorities that this master holds, all of them packed
#   pilothouse-machine authorities-install                takes such a pack from standard input
#   pilothouse-machine trust                              prints the certificates that everybody is to trust, as JSON
#   pilothouse-machine api-answers                        waits until the address of the API answers
#   pilothouse-machine kubeconfig                         prints the administrator's kubeconfig
set -uo pipefail

address={{ pilothouse_address }}
pki={{ pilothouse_pki }}
names=({{ (['etcd', 'nats', 'apiserver', 'scheduler', 'controller-manager', 'haproxy', 'keepalived'] if pilothouse_is_master else []) | join(' ') }} containerd kubelet proxy dns)

etcdctl() {
  ETCDCTL_API=3 command etcdctl --endpoints "https://$address:2379" --cacert "$pki/backbone-ca.crt" \
    --cert "$pki/etcd/tls.crt" --key "$pki/etcd/tls.key" --command-timeout=3s "$@"
}

# A member of that name, or at that address, is the one that was there before it lost its disk: it goes first.
etcd_admit() {
  local name=$1 peer="https://$2:2380" id members
  members=$(etcdctl member list) || return 1
  while IFS=, read -r id; do
    [ -z "$id" ] || etcdctl member remove "$id" >&2 || return 1
  done < <(awk -F', ' -v name="$name" -v peer="$peer" '$3 == name || $4 == peer { print $1 }' <<<"$members")
  # Right after a member has gone the others may not yet be seen as healthy: etcd then refuses for a moment.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    etcdctl member add "$name" --peer-urls="$peer" | grep '^ETCD_INITIAL_CLUSTER' && return 0
    sleep 1
  done
  return 1
}

authorities={{ pilothouse_authorities }}

pack_authorities() {
  [ -e $authorities/cluster-ca.key ] || return 0
  tar -C $authorities --sort=name --mtime=@0 --owner=root --group=root -c . | base64 --wrap=0
}

# The apiserver reads two of them: it gets its own copies.
install_authorities() {
  local packed
  packed=$(cat)
  [ -n "$packed" ] || { echo "nothing to install" >&2; return 1; }
  if [ "$packed" != "$(pack_authorities)" ]; then
    install -d -m 0700 $authorities
    base64 --decode <<<"$packed" | tar -C $authorities -x && chmod -R go= $authorities && echo installed
  fi
  for file in service-account.key encryption.yaml; do
    cmp --silent "$authorities/$file" "$pki/$file" && continue
    install -m 0400 -o pilothouse-apiserver -g pilothouse-apiserver "$authorities/$file" "$pki/$file" && echo "installed $file"
  done
}

trust() {
  python3 - "$authorities" <<'PYTHON'
import glob, json, sys
def bundle(name):
    return "".join(open(path).read() for path in sorted(glob.glob("%s/%s*.crt" % (sys.argv[1], name))))
print(json.dumps({"cluster": bundle("cluster-ca"), "backbone": bundle("backbone-ca")}))
PYTHON
}

# With everything in it, so that it works anywhere; kubectl passes over the extension, pilot reads it.
kubeconfig() {
  python3 - "$pki" <<'PYTHON'
import base64, json, sys
def data(path):
    return base64.b64encode(open("%s/%s" % (sys.argv[1], path), "rb").read()).decode()
def pair(identity):
    return {"client-certificate-data": data(identity + "/tls.crt"), "client-key-data": data(identity + "/tls.key")}
backbone = {
    "etcd-servers": {{ pilothouse_etcd_servers | to_json }},
    "nats-servers": {{ pilothouse_nats_servers | to_json }},
    "certificate-authority-data": data("backbone-ca.crt"),
}
backbone.update(pair("operator"))
cluster = {"server": "https://{{ pilothouse_virtual_address }}:6443", "certificate-authority-data": data("cluster-ca.crt")}
print(json.dumps({
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "pilothouse", "cluster": cluster}],
    "users": [{"name": "admin", "user": pair("admin")}],
    "contexts": [{"name": "pilothouse", "context": {"cluster": "pilothouse", "user": "admin"}}],
    "current-context": "pilothouse",
    "extensions": [{"name": "pilothouse.io/backbone", "extension": backbone}],
}))
PYTHON
}

# Once for each release: what it brought is noted.
images() {
  local folder=$1 noted=/var/lib/pilothouse/images archive
  [ "$(cat $noted 2>/dev/null)" != "$folder" ] || return 0
  health --wait 30 containerd >/dev/null || return 1
  for archive in "$folder"/*.tar; do
    ctr --address /run/pilothouse/containerd/containerd.sock --namespace k8s.io images import "$archive" >/dev/null || return 1
    echo "imported $(basename "$archive")"
  done
  echo "$folder" >$noted
}

# Kubelets may not say this of themselves.
label_master() {
  local url="https://$address:6443/api/v1/nodes/{{ pilothouse_node_name }}" label=node-role.kubernetes.io/control-plane node
  api() { curl --silent --show-error --fail --max-time 5 --cacert "$pki/cluster-ca.crt" --cert "$pki/admin/tls.crt" --key "$pki/admin/tls.key" "$@"; }
  node=$(api --retry 30 --retry-delay 1 --retry-all-errors "$url") || return 1
  grep -q "$label\":\"\"" <<<"${node// /}" && return 0
  api --request PATCH --header 'content-type: application/merge-patch+json' --data "{\"metadata\":{\"labels\":{\"$label\":\"\"}}}" \
    --output /dev/null "$url" && echo labelled
}

answers() { curl --silent --show-error --fail --max-time 3 --output /dev/null "$@" 2>&1; }

# Prints why it is unwell, and fails, or succeeds.
check() {
  systemctl is-active --quiet "pilothouse-$1" || { echo "not running; try: journalctl -u pilothouse-$1 -n 20"; return 1; }
  case $1 in
    etcd) etcdctl endpoint health 2>&1 | tail -n 1 | grep -v 'is healthy' && return 1 || return 0 ;;
    nats) (exec 3<>"/dev/tcp/$address/4222") 2>/dev/null || { echo "does not answer on port 4222"; return 1; } ;;
    apiserver) answers --cacert "$pki/cluster-ca.crt" "https://$address:6443/readyz" ;;
    scheduler) answers "http://$address:10259/healthz" ;;
    controller-manager) answers "http://$address:10257/healthz" ;;
    kubelet) answers http://127.0.0.1:10248/healthz ;;
    proxy) answers http://127.0.0.1:10256/healthz ;;
    dns) answers http://127.0.0.1:10255/healthz ;;
    containerd) [ -S /run/pilothouse/containerd/containerd.sock ] || { echo "has no socket"; return 1; } ;;
  esac
}

health() {
  local wait=0 deadline name why unwell
  if [ "${1:-}" = --wait ]; then wait=$2; shift 2; fi
  [ $# -gt 0 ] || set -- "${names[@]}"
  deadline=$((SECONDS + wait))
  while :; do
    unwell=""
    for name in "$@"; do why=$(check "$name") || unwell+="  ✘ $name: $why"$'\n'; done
    [ -n "$unwell" ] || break
    if [ $SECONDS -ge $deadline ]; then printf '%s' "$unwell"; return 1; fi
    sleep 0.2
  done
  printf '  ✔ %s\n' "$@"
}

case ${1:-} in
  health) shift; health "$@" ;;
  start)
    shift
    for name in "$@"; do
      systemctl is-active --quiet "pilothouse-$name" && continue
      systemctl daemon-reload
      systemctl start --no-block "pilothouse-$name" && echo "started $name"
    done
    ;;
  restart)
    shift
    systemctl daemon-reload
    for name in "$@"; do
      systemctl restart "pilothouse-$name" && health --wait 60 "$name" || exit 1
    done
    ;;
  etcd-state)
    if [ -e /etc/pilothouse/etcd-begin.env ]; then echo beginning
    elif [ -e {{ pilothouse_etcd_data }}/member ]; then echo member
    else echo none; fi
    ;;
  etcd-admit) shift; etcd_admit "$@" ;;
  authorities) pack_authorities ;;
  authorities-install) install_authorities ;;
  trust) trust ;;
  kubeconfig) kubeconfig ;;
  api-answers)
    answers --retry 60 --retry-delay 1 --retry-all-errors --cacert "$pki/cluster-ca.crt" https://{{ pilothouse_virtual_address }}:6443/readyz
    ;;
  images) shift; images "$@" ;;
  label-master) label_master ;;
  prepare)
    systemd-sysusers
    systemctl daemon-reload
    systemctl restart systemd-modules-load systemd-sysctl 2>/dev/null || /lib/systemd/systemd-sysctl || true
    ;;
  *) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
