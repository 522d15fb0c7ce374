package api

import "regexp"

// The patterns as Trove has them. Its $ also fits before a last line feed, and its
// dot never fits one; the Go forms beside them say the same.
const (
	textPattern = `^.*[0-9a-zA-Z]+.*$`
	uuidPattern = `^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$`
	sizePattern = `^0*[1-9]+[0-9]*$`
	hostPattern = `^[%]?[\w(-).]*[%]?$`
	ipv4Pattern = `^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$`
	cidrPattern = `^([0-9]{1,3}\.){3}[0-9]{1,3}(\/([0-9]|[1-2][0-9]|3[0-2]))?$`
)

// schemas are the shapes of the requests that Trove checks.
type schemas struct {
	backup, strategy, instance *schema
}

func text(minLen, maxLen int, pattern, match string) *schema {
	return &schema{kind: "string", minLen: minLen, maxLen: maxLen, pattern: pattern, match: regexp.MustCompile(match)}
}

func filledText() *schema { return text(1, 255, textPattern, `\A.*[0-9a-zA-Z]+.*\n?\z`) }

func uuidText() *schema {
	return text(1, 64, uuidPattern, `\A[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\n?\z`)
}

func wrapped(name string, of *schema) *schema {
	return &schema{kind: "object", required: []string{name}, props: []prop{{name, of}}}
}

func newSchemas() schemas {
	return schemas{backup: backupSchema(), strategy: strategySchema(), instance: instanceSchema()}
}

func backupSchema() *schema {
	return wrapped("backup", &schema{kind: "object", required: []string{"name"}, props: []prop{
		{"description", filledText()},
		{"instance", uuidText()},
		{"name", filledText()},
		{"parent_id", uuidText()},
		{"incremental", &schema{kind: "integer", bounded: true, max: 1}},
		{"swift_container", filledText()},
		{"method", filledText()},
		{"restore_from", &schema{
			kind: "object", required: []string{"remote_location", "local_datastore_version_id", "size"},
			props: []prop{
				{"remote_location", filledText()},
				{"local_datastore_version_id", uuidText()},
				{"size", &schema{kind: "number"}},
			},
		}},
	}})
}

func strategySchema() *schema {
	return wrapped("backup_strategy", &schema{
		kind: "object", closed: true, required: []string{"swift_container"},
		props: []prop{{"instance_id", uuidText()}, {"swift_container", filledText()}},
	})
}

func instanceSchema() *schema {
	sizes := &schema{oneOf: []*schema{
		{kind: "integer", bounded: true, min: 1, max: 1 << 53},
		text(1, 40, sizePattern, `\A0*[1-9]+[0-9]*\n?\z`),
	}}
	return wrapped("instance", &schema{kind: "object", required: []string{"name"}, props: []prop{
		{"name", filledText()},
		{"configuration_id", &schema{oneOf: []*schema{uuidText(), {kind: "null"}}}},
		{"flavorRef", &schema{oneOf: []*schema{filledText(), {kind: "integer"}}}},
		{"volume", &schema{kind: "object", required: []string{"size"}, props: []prop{
			{"size", sizes}, {"type", &schema{oneOf: []*schema{filledText(), {kind: "null"}}}},
		}}},
		{"databases", named([]string{"name"}, filledText(), "character_set", "collate")},
		{"users", usersSchema()},
		{"restorePoint", &schema{kind: "object", required: []string{"backupRef"}, props: []prop{{"backupRef", uuidText()}}}},
		{"replica_of", uuidText()},
		{"replica_count", &schema{kind: "integer", bounded: true, min: 1, max: 3}},
		{"availability_zone", filledText()},
		{"datastore", &schema{kind: "object", props: []prop{
			{"type", filledText()}, {"version", filledText()}, {"version_number", filledText()},
		}}},
		{"nics", nicsSchema()},
		{"modules", &schema{kind: "array", items: &schema{kind: "object", required: []string{"id"}, props: []prop{{"id", uuidText()}}}}},
		{"region_name", filledText()},
		{"locality", filledText()},
		{"access", accessSchema()},
	}})
}

// named is an array of objects with a name and other texts.
func named(required []string, name *schema, others ...string) *schema {
	props := []prop{{"name", name}}
	for _, o := range others {
		props = append(props, prop{o, filledText()})
	}
	return &schema{kind: "array", items: &schema{kind: "object", required: required, props: props}}
}

func usersSchema() *schema {
	users := named([]string{"name", "password"}, text(1, 0, textPattern, `\A.*[0-9a-zA-Z]+.*\n?\z`), "password")
	users.items.props = append(users.items.props,
		prop{"host", text(1, 0, hostPattern, `\A%?[\p{L}\p{N}_(-).]*%?\n?\z`)},
		prop{"databases", named([]string{"name"}, filledText())})
	return users
}

func nicsSchema() *schema {
	return &schema{kind: "array", maxItems: 1, items: &schema{kind: "object", closed: true, props: []prop{
		{"net-id", uuidText()},
		{"network_id", uuidText()},
		{"subnet_id", uuidText()},
		{"ip_address", text(7, 15, ipv4Pattern, `\A(?:[0-9]{1,3}\.){3}[0-9]{1,3}\n?\z`)},
	}}}
}

func accessSchema() *schema {
	cidr := text(0, 0, cidrPattern, `\A([0-9]{1,3}\.){3}[0-9]{1,3}(/([0-9]|[1-2][0-9]|3[0-2]))?\n?\z`)
	return &schema{kind: "object", props: []prop{
		{"is_public", &schema{kind: "boolean"}},
		{"allowed_cidrs", &schema{kind: "array", items: cidr}},
	}}
}
