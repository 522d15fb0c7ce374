package amqp

// ForgeUser makes b stamp another account than its own, as a liar would.
func ForgeUser(b *Bus, user string) { b.o.User, b.o.UserID = user, true }
