BEGIN TRANSACTION;
CREATE TABLE agents (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	group_name VARCHAR NOT NULL, 
	labels TEXT NOT NULL, 
	max_jobs INTEGER NOT NULL, 
	is_ephemeral BOOLEAN NOT NULL, 
	is_draining BOOLEAN NOT NULL, 
	identity TEXT NOT NULL, 
	inventory TEXT NOT NULL, 
	software VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	last_seen_at FLOAT NOT NULL, 
	removed_at FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "agents" VALUES('agent_z2f1h5j6kq1mnsdmqb2y','box-1','','[]',4,0,0,'{"signing_key": "VFBgS3pkctQHjNP6E8s/ASl+qa5rN3AVxmYrMlGtL9c=", "sealing_key": "VGGXJPpLZqhlHuxmuLc0p1e2DOtgByqWsrwYKcG8B6ZL9xeK+ipQE6o8M/nGrEyiJ1CxH/h0U8BJwTK5ooASSaUQ0hsGShsd0yJZCjGy0rgJfWIqZtY4x2moKko8LitqoLhF7OIjJ+mPj/wYRJFDUHZpq2OMsvAuVERfe+OJuXSW91VNjVhrRuJhAVdtqstAb/AHaFtCPKmrltYPZUJW5mkVcZA6MAeWk3ZWcuWKh5SbqzpR2ZU5uWQ2ZYMaFUNNxWRiOZZVlDE0VxRY5ueT0qW8V/UR/4xFFyJFWMtYjFtoatYsTaHMjMknu0k91ZM8CdMDKHiWtxgYsdYvt7apLtE0xVJbPPSutEgj/pBFqOSCqDk7nRC0LACjNqsFc/Q+hVO9JKIA0pe/VGJIbXgM6DI0wgdClsanfeW4CVE0MBzKv4PFA9nNe6GA0Ym02JxAdXyPY7MnKHeV19SpfDapN3gKJ7V8CvRMW9lA+PUTjqXEDUPOnAMQhahYtfRPSOhCeCBvlAhM9oty+DKsYslJhONm7JU5NlOjJUUNqfKwvcCBDBaBe1u+LytKH4euizBjeoO0DWi6jWZ3brgy2isTyvkaT9ZtzUGOAbo3cUMIeyGiWViRwBN/b1Qw8nNu/okvT9NgBKg/4YaSVmWeJCCIPFkE6hSIuZARq5pdVtId7BGmWQPMYUlHP2qdy2MQhJtdDiuImcoI0WKvb3cvSsR2z7RnRrluKLiw0FlXgmGTMmGSEnov04dHCZdUXBYzEpC9iYdB7EZ8hSoG4+lB99rH9BxuT8USjCgLFYpgKVwjhjHNZOyVczG4cCsJyQWe/mgvkZhsBoipRKlkFkyL/TcEo2GTO/KznOafLtUkvptEw3CGTAR6nvmN1ewgNGIZDjAptZWw8gsB9GSc8wbEEPUxH6YQcvdY2DCMFarBJTlfiioKOqPLZNGgLiyd9bgu8pIgarLMCTEV2nM8xiApV+F4v3s0GVM/QDhza2JoVkoY3LyohzYeOOMqwZEUJcwUkjhgowJDQ3wAHPKfk0sVUXmAtTCZTsY5BiAQeYxL1oi1lYmZXIqlvekHKhBCCmZX68MLnce/nJGEEkdlw9oC/HKgUSVx2apdZhNMWHJqL0tl57xgB+pwJLGIBcmlexXETKJ/+6eLAupL34OpCFxIRlt92fjO5XxGyXm2BmEV4CaMPqkwkhBe+dMiw8BjqdSUbiGlWfZKBPW6g+qwRVxpsdCcC6mq6fcd1HSaufCoK0auF7p1yiXC71BmS/JauqF2dLdVhiGlsIQxfwIVeoM+SrssMCLEJeJ3fWFepDdP2oNKMGYS3exsojBrhXlx0JR/hpwkJBhg9+Mv+ASgIUaQITiumVW+jQeASZKXW4BwsjyKRTxPHsMUP9JZrBG4gllZqCFqmUUpHnawk9Cu4IxAGhmRF6eUGIV2rHtFEde3CzMnO6xI/LlzvlOP7gvJjuwx2FQDSKO8k1EgqneSaQOlTwfP0wBucgNippyDY8hMghQSYHmwUBODFcGzRkxydXOo0bTCCip23pZjc+CE4060I2Kq95Pc7M3kUW2Zz7wirHHa+1upDu4kCzCu37xMkEGxazAI0hvuY45gDz39tO7w6fL/Vw==", "suite": "mlkem768-x25519-hkdf-sha256-aes256gcm"}','{"hostname":"box-1","os":"Linux","os_version":"24.04","arch":"X64","kernel":"6.8.0","cpu_model":"a cpu","cpu_count":8,"memory_bytes":17179869184,"disks":[],"gpus":[],"tools":{},"problems":[]}','flow-agent/test',1.79526335302318191524e+09,1.7952633531398341656e+09,NULL);
CREATE TABLE annotations (
	job VARCHAR NOT NULL, 
	lease INTEGER NOT NULL, 
	"offset" INTEGER NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (job, lease, "offset"), 
	FOREIGN KEY(job) REFERENCES jobs (id)
);
CREATE TABLE artifacts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run INTEGER NOT NULL, 
	job VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	mime_type VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	digest VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT, 
	UNIQUE (run, name), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
CREATE TABLE events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	data TEXT NOT NULL, 
	time FLOAT NOT NULL, 
	FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO "events" VALUES(1,1,'job','{"id":"job_8zr9v8dkxstmq5e4teh9","run":1,"key":"train","name":"train","status":"queued","conclusion":null,"waiting":"","runs_on":["linux"],"agent":null,"agent_id":null,"lease":0,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.309Z","started":null,"finished":null}',1.79526335330968809123e+09);
INSERT INTO "events" VALUES(2,1,'run','{"id":1,"number":1,"name":"flow.yml","file":"flow.yml","event":"workflow_dispatch","source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"status":"queued","conclusion":null,"cancel_reason":null,"created":"2026-11-21T12:15:53.309Z","started":null,"finished":null}',1.79526335330968809123e+09);
INSERT INTO "events" VALUES(3,1,'job','{"id":"job_8zr9v8dkxstmq5e4teh9","run":1,"key":"train","name":"train","status":"assigned","conclusion":null,"waiting":"","runs_on":["linux"],"agent":"box-1","agent_id":"agent_z2f1h5j6kq1mnsdmqb2y","lease":1,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.309Z","started":null,"finished":null}',1.79526335344158053395e+09);
INSERT INTO "events" VALUES(4,1,'run','{"id":1,"number":1,"name":"flow.yml","file":"flow.yml","event":"workflow_dispatch","source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"status":"running","conclusion":null,"cancel_reason":null,"created":"2026-11-21T12:15:53.309Z","started":"2026-11-21T12:15:53.503Z","finished":null}',1.79526335350346755983e+09);
INSERT INTO "events" VALUES(5,1,'job','{"id":"job_8zr9v8dkxstmq5e4teh9","run":1,"key":"train","name":"train","status":"running","conclusion":null,"waiting":"","runs_on":["linux"],"agent":"box-1","agent_id":"agent_z2f1h5j6kq1mnsdmqb2y","lease":1,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.309Z","started":"2026-11-21T12:15:53.503Z","finished":null}',1.79526335350346755983e+09);
INSERT INTO "events" VALUES(6,1,'job','{"id":"job_8zr9v8dkxstmq5e4teh9","run":1,"key":"train","name":"train","status":"completed","conclusion":"success","waiting":"","runs_on":["linux"],"agent":"box-1","agent_id":"agent_z2f1h5j6kq1mnsdmqb2y","lease":1,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{"model":"m"},"machine":{"kernel":"6.8.0"},"queued":"2026-11-21T12:15:53.309Z","started":"2026-11-21T12:15:53.503Z","finished":"2026-11-21T12:15:53.568Z"}',1.7952633535684671402e+09);
INSERT INTO "events" VALUES(7,1,'job','{"id":"job_kjp86rvg4shb1t2yvbtd","run":1,"key":"evaluate","name":"evaluate","status":"queued","conclusion":null,"waiting":"","runs_on":["linux"],"agent":null,"agent_id":null,"lease":0,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.568Z","started":null,"finished":null}',1.7952633535684671402e+09);
INSERT INTO "events" VALUES(8,1,'job','{"id":"job_kjp86rvg4shb1t2yvbtd","run":1,"key":"evaluate","name":"evaluate","status":"assigned","conclusion":null,"waiting":"","runs_on":["linux"],"agent":"box-1","agent_id":"agent_z2f1h5j6kq1mnsdmqb2y","lease":1,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.568Z","started":null,"finished":null}',1.79526335360146570207e+09);
INSERT INTO "events" VALUES(9,1,'job','{"id":"job_kjp86rvg4shb1t2yvbtd","run":1,"key":"evaluate","name":"evaluate","status":"running","conclusion":null,"waiting":"","runs_on":["linux"],"agent":"box-1","agent_id":"agent_z2f1h5j6kq1mnsdmqb2y","lease":1,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.568Z","started":"2026-11-21T12:15:53.628Z","finished":null}',1.79526335362817788124e+09);
INSERT INTO "events" VALUES(10,2,'job','{"id":"job_t8kyb04sfy6sse6srr5f","run":2,"key":"train","name":"train","status":"queued","conclusion":null,"waiting":"","runs_on":["linux"],"agent":null,"agent_id":null,"lease":0,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.662Z","started":null,"finished":null}',1.79526335366216325756e+09);
INSERT INTO "events" VALUES(11,2,'run','{"id":2,"number":2,"name":"flow.yml","file":"flow.yml","event":"workflow_dispatch","source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"status":"queued","conclusion":null,"cancel_reason":null,"created":"2026-11-21T12:15:53.662Z","started":null,"finished":null}',1.79526335366216325756e+09);
INSERT INTO "events" VALUES(12,2,'job','{"id":"job_t8kyb04sfy6sse6srr5f","run":2,"key":"train","name":"train","status":"assigned","conclusion":null,"waiting":"","runs_on":["linux"],"agent":"box-1","agent_id":"agent_z2f1h5j6kq1mnsdmqb2y","lease":1,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.662Z","started":null,"finished":null}',1.7952633538050880432e+09);
INSERT INTO "events" VALUES(13,2,'run','{"id":2,"number":2,"name":"flow.yml","file":"flow.yml","event":"workflow_dispatch","source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"status":"running","conclusion":null,"cancel_reason":null,"created":"2026-11-21T12:15:53.662Z","started":"2026-11-21T12:15:53.879Z","finished":null}',1.79526335387980866429e+09);
INSERT INTO "events" VALUES(14,2,'job','{"id":"job_t8kyb04sfy6sse6srr5f","run":2,"key":"train","name":"train","status":"running","conclusion":null,"waiting":"","runs_on":["linux"],"agent":"box-1","agent_id":"agent_z2f1h5j6kq1mnsdmqb2y","lease":1,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:53.662Z","started":"2026-11-21T12:15:53.879Z","finished":null}',1.79526335387980866429e+09);
INSERT INTO "events" VALUES(15,2,'job','{"id":"job_t8kyb04sfy6sse6srr5f","run":2,"key":"train","name":"train","status":"completed","conclusion":"success","waiting":"","runs_on":["linux"],"agent":"box-1","agent_id":"agent_z2f1h5j6kq1mnsdmqb2y","lease":1,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":{"kernel":"6.8.0"},"queued":"2026-11-21T12:15:53.662Z","started":"2026-11-21T12:15:53.879Z","finished":"2026-11-21T12:15:54.032Z"}',1.79526335403286576271e+09);
INSERT INTO "events" VALUES(16,2,'run','{"id":2,"number":2,"name":"flow.yml","file":"flow.yml","event":"workflow_dispatch","source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"status":"completed","conclusion":"success","cancel_reason":null,"created":"2026-11-21T12:15:53.662Z","started":"2026-11-21T12:15:53.879Z","finished":"2026-11-21T12:15:54.032Z"}',1.79526335403286576271e+09);
INSERT INTO "events" VALUES(17,3,'job','{"id":"job_gs4rshzbsbj0jg9amw72","run":3,"key":"train","name":"train","status":"queued","conclusion":null,"waiting":"","runs_on":["gpu"],"agent":null,"agent_id":null,"lease":0,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:54.501Z","started":null,"finished":null}',1.79526335450180411336e+09);
INSERT INTO "events" VALUES(18,3,'run','{"id":3,"number":3,"name":"flow.yml","file":"flow.yml","event":"workflow_dispatch","source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"status":"queued","conclusion":null,"cancel_reason":null,"created":"2026-11-21T12:15:54.501Z","started":null,"finished":null}',1.79526335450180411336e+09);
INSERT INTO "events" VALUES(19,3,'job','{"id":"job_gs4rshzbsbj0jg9amw72","run":3,"key":"train","name":"train","status":"queued","conclusion":null,"waiting":"no agent has the label [gpu]; 1 agent is connected (box-1: self-hosted, linux, x64)","runs_on":["gpu"],"agent":null,"agent_id":null,"lease":0,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:54.501Z","started":null,"finished":null}',1.79526335461366653447e+09);
INSERT INTO "events" VALUES(20,3,'job','{"id":"job_gs4rshzbsbj0jg9amw72","run":3,"key":"train","name":"train","status":"queued","conclusion":null,"waiting":"no agent is connected","runs_on":["gpu"],"agent":null,"agent_id":null,"lease":0,"cancel_reason":null,"failure_kind":null,"message":"","outputs":{},"machine":null,"queued":"2026-11-21T12:15:54.501Z","started":null,"finished":null}',1795263354.91062);
CREATE TABLE jobs (
	id VARCHAR NOT NULL, 
	run INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	"key" VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	conclusion VARCHAR, 
	failure_kind VARCHAR, 
	message TEXT NOT NULL, 
	outputs TEXT NOT NULL, 
	spec TEXT, 
	runs_on TEXT NOT NULL, 
	group_name VARCHAR NOT NULL, 
	waiting TEXT NOT NULL, 
	lease INTEGER NOT NULL, 
	agent VARCHAR, 
	cancel_reason VARCHAR, 
	machine TEXT, 
	journal_applied INTEGER NOT NULL, 
	queued_at FLOAT, 
	assigned_at FLOAT, 
	started_at FLOAT, 
	finished_at FLOAT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO "jobs" VALUES('job_8zr9v8dkxstmq5e4teh9',1,0,'train','train','completed','success',NULL,'','{"model":"m"}','{"run":1,"job":"job_8zr9v8dkxstmq5e4teh9","key":"train","name":"train","steps":[{"kind":"run","id":"fit","name":null,"condition":"success()","run":"echo ${{ secrets.DATA_KEY }}","shell":null,"working_directory":null,"uses":null,"with_":{},"env":null,"continue_on_error":false,"timeout_minutes":null,"background":false,"targets":[],"place":"flow.yml:8:9"}],"runs_on":["linux"],"group":"","env":[],"shell":null,"working_directory":null,"outputs":{"model":"${{ steps.fit.outputs.model }}"},"timeout_minutes":360.0,"cancel_timeout_minutes":5.0,"continue_on_error":false,"container":null,"services":null,"secrets":["DATA_KEY"],"contexts":{"github":{"event_name":"workflow_dispatch","event":{"inputs":{}},"repository":"local/flow.yml","repository_owner":"local","repositoryUrl":"git://github.com/local/flow.yml.git","ref":"refs/heads/main","ref_name":"main","ref_type":"branch","ref_protected":false,"sha":"","head_ref":"","base_ref":"","actor":"admin","triggering_actor":"admin","workflow":"flow.yml","workflow_ref":"local/flow.yml/flow.yml@refs/heads/main","workflow_sha":"","run_id":"1","run_number":"1","run_attempt":"1","retention_days":"90","secret_source":"Actions","server_url":"https://github.com","api_url":"https://api.github.com","graphql_url":"https://api.github.com/graphql","job":"train"},"inputs":{},"needs":{},"strategy":{"fail-fast":true,"job-index":0,"job-total":1,"max-parallel":1},"matrix":{},"vars":{"REGION":"eu"}},"source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"pins":null,"version":1}','["linux"]','','',1,'agent_z2f1h5j6kq1mnsdmqb2y',NULL,'{"kernel":"6.8.0"}',657,1.79526335330968809123e+09,1.79526335344158053395e+09,1.79526335350346755983e+09,1.7952633535684671402e+09);
INSERT INTO "jobs" VALUES('job_kjp86rvg4shb1t2yvbtd',1,1,'evaluate','evaluate','running',NULL,NULL,'','{}','{"run":1,"job":"job_kjp86rvg4shb1t2yvbtd","key":"evaluate","name":"evaluate","steps":[{"kind":"run","id":"__run","name":null,"condition":"success()","run":"echo ${{ needs.train.outputs.model }}","shell":null,"working_directory":null,"uses":null,"with_":{},"env":null,"continue_on_error":false,"timeout_minutes":null,"background":false,"targets":[],"place":"flow.yml:14:9"}],"runs_on":["linux"],"group":"","env":[],"shell":null,"working_directory":null,"outputs":{},"timeout_minutes":360.0,"cancel_timeout_minutes":5.0,"continue_on_error":false,"container":null,"services":null,"secrets":[],"contexts":{"github":{"event_name":"workflow_dispatch","event":{"inputs":{}},"repository":"local/flow.yml","repository_owner":"local","repositoryUrl":"git://github.com/local/flow.yml.git","ref":"refs/heads/main","ref_name":"main","ref_type":"branch","ref_protected":false,"sha":"","head_ref":"","base_ref":"","actor":"admin","triggering_actor":"admin","workflow":"flow.yml","workflow_ref":"local/flow.yml/flow.yml@refs/heads/main","workflow_sha":"","run_id":"1","run_number":"1","run_attempt":"1","retention_days":"90","secret_source":"Actions","server_url":"https://github.com","api_url":"https://api.github.com","graphql_url":"https://api.github.com/graphql","job":"evaluate"},"inputs":{},"needs":{"train":{"result":"success","outputs":{"model":"m"}}},"strategy":{"fail-fast":true,"job-index":0,"job-total":1,"max-parallel":1},"matrix":{},"vars":{"REGION":"eu"}},"source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"pins":null,"version":1}','["linux"]','','',1,'agent_z2f1h5j6kq1mnsdmqb2y',NULL,'{"kernel":"6.8.0"}',140,1.7952633535684671402e+09,1.79526335360146570207e+09,1.79526335362817788124e+09,NULL);
INSERT INTO "jobs" VALUES('job_t8kyb04sfy6sse6srr5f',2,0,'train','train','completed','success',NULL,'','{}','{"run":2,"job":"job_t8kyb04sfy6sse6srr5f","key":"train","name":"train","steps":[{"kind":"run","id":"__run","name":null,"condition":"success()","run":"echo hello","shell":null,"working_directory":null,"uses":null,"with_":{},"env":null,"continue_on_error":false,"timeout_minutes":null,"background":false,"targets":[],"place":"flow.yml:6:9"}],"runs_on":["linux"],"group":"","env":[],"shell":null,"working_directory":null,"outputs":{},"timeout_minutes":360.0,"cancel_timeout_minutes":5.0,"continue_on_error":false,"container":null,"services":null,"secrets":[],"contexts":{"github":{"event_name":"workflow_dispatch","event":{"inputs":{}},"repository":"local/flow.yml","repository_owner":"local","repositoryUrl":"git://github.com/local/flow.yml.git","ref":"refs/heads/main","ref_name":"main","ref_type":"branch","ref_protected":false,"sha":"","head_ref":"","base_ref":"","actor":"admin","triggering_actor":"admin","workflow":"flow.yml","workflow_ref":"local/flow.yml/flow.yml@refs/heads/main","workflow_sha":"","run_id":"2","run_number":"2","run_attempt":"1","retention_days":"90","secret_source":"Actions","server_url":"https://github.com","api_url":"https://api.github.com","graphql_url":"https://api.github.com/graphql","job":"train"},"inputs":{},"needs":{},"strategy":{"fail-fast":true,"job-index":0,"job-total":1,"max-parallel":1},"matrix":{},"vars":{"REGION":"eu"}},"source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"pins":null,"version":1}','["linux"]','','',1,'agent_z2f1h5j6kq1mnsdmqb2y',NULL,'{"kernel":"6.8.0"}',228,1.79526335366216325756e+09,1.7952633538050880432e+09,1.79526335387980866429e+09,1.79526335403286576271e+09);
INSERT INTO "jobs" VALUES('job_gs4rshzbsbj0jg9amw72',3,0,'train','train','queued',NULL,NULL,'','{}','{"run":3,"job":"job_gs4rshzbsbj0jg9amw72","key":"train","name":"train","steps":[{"kind":"run","id":"__run","name":null,"condition":"success()","run":"echo hello","shell":null,"working_directory":null,"uses":null,"with_":{},"env":null,"continue_on_error":false,"timeout_minutes":null,"background":false,"targets":[],"place":"flow.yml:6:9"}],"runs_on":["gpu"],"group":"","env":[],"shell":null,"working_directory":null,"outputs":{},"timeout_minutes":360.0,"cancel_timeout_minutes":5.0,"continue_on_error":false,"container":null,"services":null,"secrets":[],"contexts":{"github":{"event_name":"workflow_dispatch","event":{"inputs":{}},"repository":"local/flow.yml","repository_owner":"local","repositoryUrl":"git://github.com/local/flow.yml.git","ref":"refs/heads/main","ref_name":"main","ref_type":"branch","ref_protected":false,"sha":"","head_ref":"","base_ref":"","actor":"admin","triggering_actor":"admin","workflow":"flow.yml","workflow_ref":"local/flow.yml/flow.yml@refs/heads/main","workflow_sha":"","run_id":"3","run_number":"3","run_attempt":"1","retention_days":"90","secret_source":"Actions","server_url":"https://github.com","api_url":"https://api.github.com","graphql_url":"https://api.github.com/graphql","job":"train"},"inputs":{},"needs":{},"strategy":{"fail-fast":true,"job-index":0,"job-total":1,"max-parallel":1},"matrix":{},"vars":{"REGION":"eu"}},"source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"pins":null,"version":1}','["gpu"]','','no agent is connected',0,NULL,NULL,NULL,0,1.79526335450180411336e+09,NULL,NULL,NULL);
CREATE TABLE leases (
	job VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	agent VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	deadline FLOAT, 
	offered_at FLOAT NOT NULL, 
	ended_at FLOAT, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (job, number), 
	FOREIGN KEY(job) REFERENCES jobs (id)
);
INSERT INTO "leases" VALUES('job_8zr9v8dkxstmq5e4teh9',1,'agent_z2f1h5j6kq1mnsdmqb2y','released',NULL,1.79526335344158053395e+09,1.7952633535684671402e+09,'');
INSERT INTO "leases" VALUES('job_kjp86rvg4shb1t2yvbtd',1,'agent_z2f1h5j6kq1mnsdmqb2y','accepted',1.79526515362817788126e+09,1.79526335360146570207e+09,NULL,'');
INSERT INTO "leases" VALUES('job_t8kyb04sfy6sse6srr5f',1,'agent_z2f1h5j6kq1mnsdmqb2y','released',NULL,1.7952633538050880432e+09,1.79526335403286576271e+09,'');
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','1');
CREATE TABLE runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	number INTEGER NOT NULL, 
	file VARCHAR NOT NULL, 
	dialect VARCHAR, 
	title VARCHAR NOT NULL, 
	text TEXT NOT NULL, 
	event VARCHAR NOT NULL, 
	source TEXT NOT NULL, 
	state TEXT NOT NULL, 
	status VARCHAR NOT NULL, 
	conclusion VARCHAR, 
	cancel_reason VARCHAR, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	finished_at FLOAT
);
INSERT INTO "runs" VALUES(1,1,'flow.yml',NULL,'flow.yml','on: workflow_dispatch
jobs:
  train:
    runs-on: linux
    outputs:
      model: ${{ steps.fit.outputs.model }}
    steps:
      - id: fit
        run: echo ${{ secrets.DATA_KEY }}
  evaluate:
    needs: train
    runs-on: linux
    steps:
      - run: echo ${{ needs.train.outputs.model }}
','workflow_dispatch','{"kind":"none","url":"","ref":"","commit":"","digest":""}','{"request":{"run":1,"number":1,"seed":"bDAZod5kRTqkARSRdBpv4g==","attempt":1,"github":{"event_name":"workflow_dispatch","event":{"inputs":{}},"repository":"local/flow.yml","repository_owner":"local","repositoryUrl":"git://github.com/local/flow.yml.git","ref":"refs/heads/main","ref_name":"main","ref_type":"branch","ref_protected":false,"sha":"","head_ref":"","base_ref":"","actor":"admin","triggering_actor":"admin","workflow":"flow.yml","workflow_ref":"local/flow.yml/flow.yml@refs/heads/main","workflow_sha":"","run_id":"1","run_number":"1","run_attempt":"1","retention_days":"90","secret_source":"Actions","server_url":"https://github.com","api_url":"https://api.github.com","graphql_url":"https://api.github.com/graphql"},"inputs":{},"vars":{"REGION":"eu"},"secrets":["GITHUB_TOKEN","DATA_KEY"],"source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"only_jobs":[],"only_cells":{},"pins":null},"nodes":{"train":{"jobs":["train"],"is_expanded":true,"fail_fast":true,"max_parallel":0,"result":"success","outputs":{"model":"m"}},"evaluate":{"jobs":["evaluate"],"is_expanded":true,"fail_fast":true,"max_parallel":0,"result":null,"outputs":{}}},"jobs":{"train":{"id":"job_8zr9v8dkxstmq5e4teh9","key":"train","node":"train","index":0,"phase":"ended","cell":{},"label":"","result":{"conclusion":"success","outputs":{"model":"m"},"failure_kind":null,"message":""},"continue_on_error":false,"cancel_requested":false},"evaluate":{"id":"job_kjp86rvg4shb1t2yvbtd","key":"evaluate","node":"evaluate","index":0,"phase":"running","cell":{},"label":"","result":null,"continue_on_error":false,"cancel_requested":false}},"cancel_reason":null,"conclusion":null}','running',NULL,NULL,1.79526335330968809123e+09,1.79526335350346755983e+09,NULL);
INSERT INTO "runs" VALUES(2,2,'flow.yml',NULL,'flow.yml','on: workflow_dispatch
jobs:
  train:
    runs-on: linux
    steps:
      - run: echo hello
','workflow_dispatch','{"kind":"none","url":"","ref":"","commit":"","digest":""}','{"request":{"run":2,"number":2,"seed":"Jao5IFu3hfIgD9Y6XteAHg==","attempt":1,"github":{"event_name":"workflow_dispatch","event":{"inputs":{}},"repository":"local/flow.yml","repository_owner":"local","repositoryUrl":"git://github.com/local/flow.yml.git","ref":"refs/heads/main","ref_name":"main","ref_type":"branch","ref_protected":false,"sha":"","head_ref":"","base_ref":"","actor":"admin","triggering_actor":"admin","workflow":"flow.yml","workflow_ref":"local/flow.yml/flow.yml@refs/heads/main","workflow_sha":"","run_id":"2","run_number":"2","run_attempt":"1","retention_days":"90","secret_source":"Actions","server_url":"https://github.com","api_url":"https://api.github.com","graphql_url":"https://api.github.com/graphql"},"inputs":{},"vars":{"REGION":"eu"},"secrets":["GITHUB_TOKEN","DATA_KEY"],"source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"only_jobs":[],"only_cells":{},"pins":null},"nodes":{"train":{"jobs":["train"],"is_expanded":true,"fail_fast":true,"max_parallel":0,"result":"success","outputs":{}}},"jobs":{"train":{"id":"job_t8kyb04sfy6sse6srr5f","key":"train","node":"train","index":0,"phase":"ended","cell":{},"label":"","result":{"conclusion":"success","outputs":{},"failure_kind":null,"message":""},"continue_on_error":false,"cancel_requested":false}},"cancel_reason":null,"conclusion":"success"}','completed','success',NULL,1.79526335366216325756e+09,1.79526335387980866429e+09,1.79526335403286576271e+09);
INSERT INTO "runs" VALUES(3,3,'flow.yml',NULL,'flow.yml','on: workflow_dispatch
jobs:
  train:
    runs-on: gpu
    steps:
      - run: echo hello
','workflow_dispatch','{"kind":"none","url":"","ref":"","commit":"","digest":""}','{"request":{"run":3,"number":3,"seed":"vi0H5QelTNjg3Z4kzmZkyQ==","attempt":1,"github":{"event_name":"workflow_dispatch","event":{"inputs":{}},"repository":"local/flow.yml","repository_owner":"local","repositoryUrl":"git://github.com/local/flow.yml.git","ref":"refs/heads/main","ref_name":"main","ref_type":"branch","ref_protected":false,"sha":"","head_ref":"","base_ref":"","actor":"admin","triggering_actor":"admin","workflow":"flow.yml","workflow_ref":"local/flow.yml/flow.yml@refs/heads/main","workflow_sha":"","run_id":"3","run_number":"3","run_attempt":"1","retention_days":"90","secret_source":"Actions","server_url":"https://github.com","api_url":"https://api.github.com","graphql_url":"https://api.github.com/graphql"},"inputs":{},"vars":{"REGION":"eu"},"secrets":["GITHUB_TOKEN","DATA_KEY"],"source":{"kind":"none","url":"","ref":"","commit":"","digest":""},"only_jobs":[],"only_cells":{},"pins":null},"nodes":{"train":{"jobs":["train"],"is_expanded":true,"fail_fast":true,"max_parallel":0,"result":null,"outputs":{}}},"jobs":{"train":{"id":"job_gs4rshzbsbj0jg9amw72","key":"train","node":"train","index":0,"phase":"queued","cell":{},"label":"","result":null,"continue_on_error":false,"cancel_requested":false}},"cancel_reason":null,"conclusion":null}','queued',NULL,NULL,1.79526335450180411336e+09,NULL,NULL);
CREATE TABLE secrets (
	name VARCHAR NOT NULL, 
	sealed BLOB NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "secrets" VALUES('DATA_KEY',X'01E06F4B5C110A01E4542193D682C18A3D2B0D1EF7862002E610CFF712DAE2654021546DFA33426D573FB0F4CEA1BE4451777D1005E4338DDDEFB4271EB5694FAB1DE7FC7E7969B2CCF7977B4D599795B08EE8128C5C4D270B90B1AB30AB0863E28EE0C2A0A671A2',1.79526335265550661089e+09);
CREATE TABLE snapshots (
	digest VARCHAR NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (digest)
);
CREATE TABLE steps (
	job VARCHAR NOT NULL, 
	lease INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	parent INTEGER, 
	state VARCHAR NOT NULL, 
	outcome VARCHAR, 
	conclusion VARCHAR, 
	seconds FLOAT, 
	started_at FLOAT, 
	outputs TEXT NOT NULL, 
	PRIMARY KEY (job, lease, step), 
	FOREIGN KEY(job) REFERENCES jobs (id)
);
INSERT INTO "steps" VALUES('job_8zr9v8dkxstmq5e4teh9',1,0,'fit','Fit',NULL,'completed','success','success',1.5,1800000001.0,'{}');
CREATE TABLE summaries (
	job VARCHAR NOT NULL, 
	lease INTEGER NOT NULL, 
	"offset" INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (job, lease, "offset"), 
	FOREIGN KEY(job) REFERENCES jobs (id)
);
INSERT INTO "summaries" VALUES('job_8zr9v8dkxstmq5e4teh9',1,361,0,'# done
');
CREATE TABLE tokens (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	labels TEXT NOT NULL, 
	uses_left INTEGER, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT, 
	revoked_at FLOAT, 
	PRIMARY KEY (id), 
	UNIQUE (hash)
);
INSERT INTO "tokens" VALUES('token_9hsvb1jkmewz03expnqe','api','f890729b7a9b7bdfb867692f4cb471722d39763e3e98bcc8727b9c711321f5e0','first admin','[]',NULL,1.79526335108341050144e+09,NULL,NULL);
INSERT INTO "tokens" VALUES('token_8gt1pnt0766sd4gh1yma','registration','b8a035286991e23390fdd9a405e507103fdc95f948578757747c33e668bc5b39','first agents','[]',9,1.79526335108341050144e+09,1.79534975108341050146e+09,NULL);
INSERT INTO "tokens" VALUES('token_2j4v8s6ehf62ty55ahw3','registration','58148f5f169bb278f5394578baee3fd9cf2143974f6cac64081d56eeabd874e9','','[]',3,1.79526335464361977574e+09,1.79526695464361977574e+09,NULL);
CREATE TABLE variables (
	name VARCHAR NOT NULL, 
	value TEXT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "variables" VALUES('REGION','eu',1.79526335271085715292e+09);
CREATE UNIQUE INDEX agents_name ON agents (name) WHERE removed_at IS NULL;
CREATE INDEX runs_file ON runs (file, number);
CREATE INDEX runs_status ON runs (status, id);
CREATE INDEX jobs_run ON jobs (run);
CREATE INDEX jobs_agent ON jobs (agent, status);
CREATE INDEX jobs_status ON jobs (status, queued_at);
CREATE INDEX events_run ON events (run, id);
CREATE INDEX leases_deadline ON leases (deadline);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',3);
INSERT INTO "sqlite_sequence" VALUES('events',20);
COMMIT;