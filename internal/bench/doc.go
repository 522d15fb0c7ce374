// Package bench measures what docs/BENCHMARKS.md promises: a real MariaDB's full
// backup against the stock pipelines, a stream into a real Swift and radosgw against
// other clients, the agent's memory, the writers' longest stall, the API on SQLite, the
// start of the server, and the control plane over RabbitMQ and PostgreSQL with a fleet
// of agents. It holds benchmarks and what tries
// them in a small size, and nothing that others import.
//
//	make bench
//
// Machines differ and are noisy, so what is compared is measured in one run, in
// turns (A B A B …), and reported as the median of the ratios: x_vs_stock is how
// many times as fast as the stock pipeline Coffer is. Nothing asserts a time.
//
// The data (2.2 GB) is made once a run, which takes a few minutes. With
// COFFER_BENCH_DATA=FOLDER it is kept there, and used again by the next run.
// Backups are written below TMPDIR. COFFER_BENCH_AGENTS and COFFER_BENCH_RATE shrink the
// fleet and the requests a second, COFFER_BENCH_STORE_BYTES the stream that is sent
// into stores; COFFER_BENCH_PROFILE=FOLDER keeps the roles' and the restores' CPU profiles.
package bench
