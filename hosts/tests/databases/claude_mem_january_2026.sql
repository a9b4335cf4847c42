-- claude-mem between December 2025 and May 2026: ids have their new names, and the queue has the
-- states that later releases dropped.
CREATE TABLE schema_versions (id INTEGER PRIMARY KEY, version INTEGER UNIQUE NOT NULL, applied_at TEXT NOT NULL);
CREATE TABLE sdk_sessions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, content_session_id TEXT UNIQUE NOT NULL, memory_session_id TEXT UNIQUE,
  project TEXT NOT NULL, user_prompt TEXT, started_at TEXT NOT NULL, started_at_epoch INTEGER NOT NULL,
  status TEXT NOT NULL DEFAULT 'active');
CREATE TABLE pending_messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, session_db_id INTEGER NOT NULL, claude_session_id TEXT NOT NULL,
  message_type TEXT NOT NULL CHECK(message_type IN ('observation','summarize')), tool_name TEXT, tool_input TEXT,
  status TEXT NOT NULL DEFAULT 'pending' CHECK(status IN ('pending','processing','processed','failed')),
  retry_count INTEGER NOT NULL DEFAULT 0, created_at_epoch INTEGER NOT NULL, started_processing_at_epoch INTEGER,
  completed_at_epoch INTEGER, failed_at_epoch INTEGER, worker_pid INTEGER);
INSERT INTO schema_versions(version, applied_at) VALUES (17,'t'),(20,'t');
INSERT INTO sdk_sessions VALUES (1,'c-1','m-1','p','build it','2026-01-05T10:00:00.000Z',1767607200000,'active');
INSERT INTO pending_messages(session_db_id,claude_session_id,message_type,tool_name,status,retry_count,created_at_epoch,worker_pid) VALUES
  (1,'c-1','observation','Read','pending',0,1767607201000,NULL),
  (1,'c-1','observation','Edit','processing',1,1767607202000,4711),
  (1,'c-1','observation','Bash','processed',0,1767607203000,4711),
  (1,'c-1','summarize',NULL,'failed',3,1767607204000,4711);
