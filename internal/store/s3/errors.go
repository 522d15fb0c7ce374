package s3

import (
	"errors"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// class is what one answer means to a caller of a store.
type class struct {
	kind coffer.Kind
	hint string
}

// classOf sorts S3's error codes.
func classOf(code string, status int) class {
	switch code {
	case minio.NoSuchKey, "NoSuchUpload", "NoSuchVersion":
		return class{kind: coffer.KindNotFound}
	case minio.NoSuchBucket:
		return class{coffer.KindInvalid, "the bucket is gone: make it again"}
	case "PreconditionFailed", "ConditionalRequestConflict":
		return class{kind: coffer.KindExists}
	case minio.BucketAlreadyExists:
		return class{coffer.KindForbidden, "the bucket belongs to another project: choose one of your own"}
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "XAdminUserNotFound":
		return class{coffer.KindUnauthorized, "the store does not know this key, or its secret is wrong: look at the credentials file"}
	case "RequestTimeTooSkewed", "RequestExpired":
		return class{coffer.KindUnavailable, "this machine's clock and the store's differ too much: set the clock"}
	case "QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull", "EntityQuotaExceeded":
		return class{coffer.KindNoSpace, "free space in the store, or raise the quota"}
	case "EntityTooLarge":
		return class{coffer.KindInvalid, "the store takes no object or part of this size: choose smaller parts"}
	case "EntityTooSmall":
		return class{coffer.KindInvalid, "each part but the last has to be as large as the store demands, usually 5 MiB"}
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody":
		return class{coffer.KindUnavailable, "the bytes were changed on their way to the store"}
	case "InvalidBucketName":
		return class{coffer.KindInvalid, "a bucket has 3 to 63 small letters, digits and dashes; no underscore"}
	case "SlowDown", "ServiceUnavailable", "OperationAborted", "RequestTimeout", "InternalError", "UnknownError":
		return class{coffer.KindUnavailable, "the store is busy or in trouble: look at its own log"}
	}
	return statusClass(status)
}

// statusClass is for answers without a code that says more.
func statusClass(status int) class {
	switch status {
	case http.StatusUnauthorized:
		return class{coffer.KindUnauthorized, "look at the credentials file"}
	case http.StatusForbidden:
		return class{coffer.KindForbidden, "the key has no right to do this: look at the bucket's policy"}
	case http.StatusNotFound:
		return class{kind: coffer.KindNotFound}
	case http.StatusConflict:
		return class{kind: coffer.KindConflict}
	case http.StatusInsufficientStorage:
		return class{coffer.KindNoSpace, "free space in the store"}
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return class{kind: coffer.KindUnsupported}
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return class{coffer.KindUnavailable, "the store is busy"}
	}
	if status >= 500 {
		return class{coffer.KindUnavailable, "the store is in trouble: look at its own log"}
	}
	return class{kind: coffer.KindInvalid}
}

// code is the server's error code; "" when the error is not the server's.
func code(err error) string {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return ""
	}
	return r.Code
}

// fail puts the step around an error. With effect the request may have changed
// something although it failed. A nil err gives nil.
func fail(op string, err error, effect bool) error {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return remote.Lost(op, err, effect)
	}
	c := classOf(r.Code, r.StatusCode)
	if effect && c.kind == coffer.KindUnavailable && r.StatusCode >= 500 && r.StatusCode != http.StatusServiceUnavailable {
		c.kind = coffer.KindUnknown
	}
	return coffer.E(c.kind, op, "%w (%s, %d)", err, r.Code, r.StatusCode).WithHint("%s", c.hint)
}
