# Writes one backup as Trove's guests have done in their eras, with stock tools alone.
#   ERA     dlo, slo, slo-bare (its metadata is lost) or single
#   FORM    xbstream, xbstream.gz or xbstream.gz.enc
#   KDF     openssl's options of the era, for .enc
#   ID, PIECE (a segment's bytes), CONTAINER, PARENT (location) and PARENT_SUM, KEY
#   AUTH, AUTH_USER, AUTH_KEY: Swift's own login; SERVER: options that reach the database
# Prints the location and the checksum that Trove would record.
set -euo pipefail
object=$ID.$FORM
unpacked() { mkdir tmp && mariadb-backup $SERVER --backup --stream=xbstream --target-dir=tmp ${LSN:+--incremental-lsn=$LSN} 2>tool.log; }
case $FORM in
xbstream) unpacked >data ;;
xbstream.gz) unpacked | gzip >data ;;
xbstream.gz.enc) unpacked | gzip | openssl enc -aes-256-cbc -salt $KDF -pass pass:"$KEY" >data 2>openssl.log ;;
esac
tail -n 1 tool.log | grep -q 'completed OK!'
lsn=$(sed -n "s/.*The latest check point (for incremental): '\([0-9]*\)'.*/\1/p" tool.log)

login=$(curl -fsSi -H "X-Auth-User: $AUTH_USER" -H "X-Auth-Key: $AUTH_KEY" "$AUTH" | tr -d '\r')
token=$(sed -n 's/^x-auth-token: //Ip' <<<"$login") url=$(sed -n 's/^x-storage-url: //Ip' <<<"$login")
swift() { curl -fsS -o /dev/null -H "X-Auth-Token: $token" "$@"; }
meta=(-H "X-Object-Meta-Lsn: $lsn" -H "X-Object-Meta-Datastore: mariadb" -H "X-Object-Meta-Datastore-Version: 10.11")
if [ -n "$PARENT" ]; then meta+=(-H "X-Object-Meta-Parent-Location: $PARENT" -H "X-Object-Meta-Parent-Checksum: $PARENT_SUM"); fi

swift -X PUT -d '' "$url/$CONTAINER"
if [ $ERA = single ]; then PIECE=$(stat -c %s data); fi
split -b "$PIECE" -d -a 8 data "${ID}_"
sums= lines=
for s in "${ID}"_*; do
	swift -T "$s" "$url/$CONTAINER/$s"
	md5=$(md5sum <"$s" | cut -d ' ' -f 1) sums+=$(md5sum <"$s" | cut -d ' ' -f 1)
	lines+="${lines:+,}{\"path\":\"$CONTAINER/$s\",\"etag\":\"$md5\",\"size_bytes\":$(stat -c %s "$s")}"
done
sum=$(printf %s "$sums" | md5sum | cut -d ' ' -f 1)
case $ERA in
dlo)
	swift -X PUT -d '' -H "X-Object-Manifest: $CONTAINER/${ID}_" "$url/$CONTAINER/$object"
	swift -X POST -d '' "${meta[@]}" -H "X-Object-Manifest: $CONTAINER/${ID}_" "$url/$CONTAINER/$object"
	;;
slo) swift -X PUT "${meta[@]}" --data-binary "[$lines]" "$url/$CONTAINER/$object?multipart-manifest=put" ;;
slo-bare) swift -X PUT --data-binary "[$lines]" "$url/$CONTAINER/$object?multipart-manifest=put" ;;
single)
	swift -X PUT -d '' "${meta[@]}" -H "X-Copy-From: $CONTAINER/${ID}_00000000" "$url/$CONTAINER/$object"
	swift -X DELETE "$url/$CONTAINER/${ID}_00000000"
	sum=$sums
	;;
esac
echo "$url/$CONTAINER/$object $sum $lsn"
