package amqp_test

import "context"

// oneKey is one key for everything.
type oneKey string

func (k oneKey) To(context.Context, string) (string, error) { return string(k), nil }
func (k oneKey) Of(context.Context, string) (string, error) { return string(k), nil }
