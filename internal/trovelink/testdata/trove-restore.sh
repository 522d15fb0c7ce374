# Restores a backup as Trove's guests do it, by what the objects themselves say, with the
# command lines of their MariaDB restore: the parents first, each compared with its
# recorded checksum, and the full prepare once more at the end.
#   trove-restore.sh LOCATION CHECKSUM FOLDER; TOKEN opens the store
set -euo pipefail
folder=$3
get() { curl -fsS -H "X-Auth-Token: $TOKEN" "$@"; }
said() { sed -n "s/^$1: //Ip" <<<"$2" | tr -d '"'; }
prepare() {
	mariadb-backup --defaults-file=/etc/mysql/my.cnf --prepare --target-dir="$folder" "$@" 2>prepare.log
	tail -n 1 prepare.log | grep -q 'completed OK!'
}
restore() {
	local head parent
	head=$(get -I "$1" | tr -d '\r')
	[ "$(said etag "$head")" = "$2" ]
	parent=$(said x-object-meta-parent-location "$head")
	if [ -z "$parent" ]; then
		get "$1" | gzip -d -c | mbstream -x -C "$folder"
		prepare
		return
	fi
	restore "$parent" "$(said x-object-meta-parent-checksum "$head")"
	mkdir "$folder/../$2"
	get "$1" | gzip -d -c | mbstream -x -C "$folder/../$2"
	prepare --incremental-dir="$folder/../$2"
	rm -r "$folder/../$2"
}
restore "$1" "$2"
prepare
