package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/cofferdb/coffer"
)

// Lost is an error of the network as an error of a store. With effect the request
// changes something that must not be done twice: unless it cannot have reached
// the server, the answer is KindUnknown, else KindUnavailable. An error of ours
// keeps its kind, but for that. A nil err gives nil.
func Lost(op string, err error, effect bool) error {
	if err == nil {
		return nil
	}
	if e, ours := errors.AsType[*coffer.Error](err); ours {
		if effect && e.Kind == coffer.KindUnavailable {
			return coffer.E(coffer.KindUnknown, op, "%w", e).WithHint("%s", e.Hint)
		}
		return coffer.Wrap(op, e)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return coffer.Wrap(op, err)
	}
	if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad {
		return coffer.E(coffer.KindInvalid, op, "%w", err).WithHint("%s", certificateHint(err))
	}
	if n, dial := errors.AsType[*net.OpError](err); dial && n.Op == "dial" {
		return coffer.E(coffer.KindUnavailable, op, "%w", err).WithHint("see that the store runs and can be reached from this machine")
	}
	if effect {
		return coffer.E(coffer.KindUnknown, op, "the answer was lost: %w", err).WithHint("look at the store: it may have been done")
	}
	return coffer.E(coffer.KindUnavailable, op, "%w", err).WithHint("look at the store and at the network to it")
}

func certificateHint(err error) string {
	if _, name := errors.AsType[x509.HostnameError](err); name {
		return "the certificate is for another name: write the store's address as its certificate has it"
	}
	return "name the file of the authority that signed the store's certificate"
}
