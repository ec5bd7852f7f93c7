BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num TEXT NOT NULL, 
	PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE api_keys (
	id TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	name TEXT NOT NULL, 
	scopes TEXT NOT NULL, 
	projects TEXT, 
	models TEXT, 
	profile TEXT NOT NULL, 
	requests_per_minute INTEGER, 
	burst INTEGER, 
	concurrent_turns INTEGER, 
	queue INTEGER, 
	usd_per_month REAL, 
	usd_per_day REAL, 
	tokens_per_month INTEGER, 
	tokens_per_day INTEGER, 
	created_s REAL NOT NULL, 
	created_by TEXT NOT NULL, 
	expires_s REAL, 
	revoked_s REAL, 
	last_used_s REAL, 
	CONSTRAINT pk_api_keys PRIMARY KEY (id), 
	CONSTRAINT uq_api_keys_digest UNIQUE (digest)
)
 STRICT

;
CREATE TABLE audit (
	number INTEGER NOT NULL, 
	at_s REAL NOT NULL, 
	"key" TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	body TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (number)
)
 STRICT

;
CREATE TABLE idempotency_keys (
	owner TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	turn_id TEXT NOT NULL, 
	body_digest BLOB NOT NULL, 
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (owner, "key"), 
	CONSTRAINT fk_idempotency_keys_turn_id FOREIGN KEY(turn_id) REFERENCES turns (id) ON DELETE CASCADE
)
 STRICT

;
CREATE TABLE journal (
	turn_id TEXT NOT NULL, 
	first INTEGER NOT NULL, 
	last INTEGER NOT NULL, 
	events TEXT NOT NULL, 
	CONSTRAINT pk_journal PRIMARY KEY (turn_id, first), 
	CONSTRAINT fk_journal_turn_id FOREIGN KEY(turn_id) REFERENCES turns (id) ON DELETE CASCADE
)
 STRICT

;
CREATE TABLE messages (
	id TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	turn_id TEXT, 
	role TEXT NOT NULL, 
	created_s REAL NOT NULL, 
	truncated INTEGER NOT NULL, 
	in_history INTEGER NOT NULL, 
	words TEXT NOT NULL, 
	blocks TEXT NOT NULL, 
	step INTEGER DEFAULT '0' NOT NULL, 
	summary TEXT, 
	CONSTRAINT pk_messages PRIMARY KEY (id), 
	CONSTRAINT uq_messages_session_id_number UNIQUE (session_id, number), 
	CONSTRAINT fk_messages_session_id FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE CASCADE
)
 STRICT

;
INSERT INTO "messages" VALUES('s1-turn-1-ask-0','s1',1,'s1-turn-1','user',1700000001.0,0,1,'hello','[{"type":"text","text":"hello"}]',0,NULL);
INSERT INTO "messages" VALUES('s1-turn-1-answer','s1',2,'s1-turn-1','assistant',1700000001.5,0,1,'hi0there','[{"type":"text","text":"hi\u0000there"}]',0,NULL);
INSERT INTO "messages" VALUES('s1-turn-2-ask-0','s1',3,'s1-turn-2','user',1700000002.0,0,1,'unanswered','[{"type":"text","text":"unanswered"}]',0,NULL);
CREATE TABLE projects (
	id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	path TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	created_s REAL NOT NULL, 
	updated_s REAL NOT NULL, 
	is_active INTEGER NOT NULL, 
	words TEXT NOT NULL, 
	mode TEXT DEFAULT 'auto' NOT NULL, 
	trusted INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (id)
)
 STRICT

;
CREATE TABLE rate_hits (
	name TEXT NOT NULL, 
	at_s REAL NOT NULL, 
	nonce INTEGER NOT NULL, 
	CONSTRAINT pk_rate_hits PRIMARY KEY (name, at_s, nonce)
)
 STRICT

;
CREATE TABLE sessions (
	id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	project_id TEXT, 
	title TEXT NOT NULL, 
	model TEXT NOT NULL, 
	system TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	created_s REAL NOT NULL, 
	updated_s REAL NOT NULL, 
	last_used_s REAL NOT NULL, 
	ttl_s REAL, 
	expires_s REAL, 
	message_count INTEGER NOT NULL, 
	turn_count INTEGER NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	cache_read_tokens INTEGER NOT NULL, 
	cache_creation_tokens INTEGER NOT NULL, 
	reasoning_tokens INTEGER NOT NULL, 
	cost_usd REAL NOT NULL, 
	forked_from TEXT, 
	forked_at INTEGER, 
	fence INTEGER NOT NULL, 
	head_digest BLOB, 
	open_digest BLOB, 
	words TEXT NOT NULL, 
	mode TEXT DEFAULT 'auto' NOT NULL, 
	CONSTRAINT pk_sessions PRIMARY KEY (id)
)
 STRICT

;
INSERT INTO "sessions" VALUES('s1','key-ann',NULL,'Title s1','sonnet','[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}]','chat',1700000000.0,1700000002.0,1700000002.0,86400.0,1700086402.0,3,2,1,2,3,4,5,0.25,NULL,NULL,2,NULL,X'6F70656E2D32','title s1','auto');
CREATE TABLE spending (
	owner TEXT NOT NULL, 
	day TEXT NOT NULL, 
	cost_usd REAL NOT NULL, 
	tokens INTEGER NOT NULL, 
	CONSTRAINT pk_spending PRIMARY KEY (owner, day)
)
 STRICT

;
INSERT INTO "spending" VALUES('key-ann','2023-11-14',0.25,10);
CREATE TABLE turns (
	id TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	project_id TEXT, 
	dialect TEXT NOT NULL, 
	requested_model TEXT NOT NULL, 
	model TEXT NOT NULL, 
	state TEXT NOT NULL, 
	boot_id TEXT NOT NULL, 
	fence INTEGER NOT NULL, 
	created_s REAL NOT NULL, 
	ended_s REAL, 
	usage TEXT, 
	ended TEXT, 
	error TEXT, 
	first_token_ms REAL, 
	answer_number INTEGER, 
	note TEXT, 
	reserved_usd REAL, 
	reserved_tokens INTEGER, 
	CONSTRAINT pk_turns PRIMARY KEY (id), 
	CONSTRAINT fk_turns_session_id FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE CASCADE
)
 STRICT

;
INSERT INTO "turns" VALUES('s1-turn-1','s1','key-ann',NULL,'openai_chat','gpt-4o','sonnet','completed','boot-1',1,1700000001.0,1700000001.5,'{"input_tokens":1,"output_tokens":2,"cache_read_tokens":3,"cache_creation_tokens":4,"reasoning_tokens":5,"cost_usd":0.25}','{"reason":"stop","stop_sequence":null}',NULL,NULL,2,NULL,NULL,NULL);
INSERT INTO "turns" VALUES('s1-turn-2','s1','key-ann',NULL,'openai_chat','gpt-4o','sonnet','accepted','boot-1',2,1700000002.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE usage (
	turn_id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	project_id TEXT, 
	dialect TEXT NOT NULL, 
	model TEXT NOT NULL, 
	state TEXT NOT NULL, 
	ended_s REAL NOT NULL, 
	day TEXT NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	cache_read_tokens INTEGER NOT NULL, 
	cache_creation_tokens INTEGER NOT NULL, 
	reasoning_tokens INTEGER NOT NULL, 
	cost_usd REAL, 
	CONSTRAINT pk_usage PRIMARY KEY (turn_id)
)
 STRICT

;
INSERT INTO "usage" VALUES('s1-turn-1','key-ann','s1',NULL,'openai_chat','sonnet','completed',1700000001.5,'2023-11-14',1,2,3,4,5,0.25);
CREATE INDEX ix_projects_owner_created_s_id ON projects (owner, created_s, id);
CREATE INDEX ix_sessions_owner_head_digest ON sessions (owner, head_digest);
CREATE INDEX ix_sessions_expires_s ON sessions (expires_s);
CREATE INDEX ix_sessions_project_id ON sessions (project_id);
CREATE INDEX ix_sessions_owner_last_used_s_id ON sessions (owner, last_used_s, id);
CREATE INDEX ix_sessions_owner_open_digest ON sessions (owner, open_digest);
CREATE INDEX ix_usage_ended_s ON usage (ended_s);
CREATE INDEX ix_usage_owner_ended_s ON usage (owner, ended_s);
CREATE INDEX ix_usage_session_id ON usage (session_id);
CREATE INDEX ix_api_keys_created_s_id ON api_keys (created_s, id);
CREATE INDEX ix_rate_hits_at_s ON rate_hits (at_s);
CREATE INDEX ix_audit_at_s ON audit (at_s);
CREATE INDEX ix_audit_key_number ON audit ("key", number);
CREATE INDEX ix_turns_session_id_fence ON turns (session_id, fence);
CREATE INDEX ix_turns_running ON turns (owner) WHERE ended_s IS NULL;
CREATE INDEX ix_turns_unfinished ON turns (boot_id) WHERE ended_s IS NULL;
CREATE INDEX ix_idempotency_keys_turn_id ON idempotency_keys (turn_id);
COMMIT;
