/* A stand-in for NVIDIA's libnvidia-ml.so.1: the calls that the agent makes through pynvml, answered from a text file.
 *
 * FLOW_TEST_NVML names the file; it is read anew whenever it has changed. A line is a kind and its fields, separated by '|':
 *     driver|550.54.15
 *     cuda|12040
 *     init|9                      nvmlInit answers this error
 *     hang|                       nvmlInit does not answer as long as this stands here
 *     stuck|nvmlDeviceGetName     nor does this function
 *     reload|2                    with another number than at nvmlInit every call answers NVML_ERROR_UNINITIALIZED
 *     gpu|uuid|name|total|used|major.minor|bus id|fault|mig mode|utilization|temperature|milliwatts|pids (a,b:bytes)
 *     mig|index of its gpu|place|uuid|name|total|used
 *     fact|index of the gpu|name|value                 as `fact_of` is asked for them below; what is not said is NOT_SUPPORTED
 *     migfact|index of the gpu|place|name|value        gi, ci (ids), slices, ci_slices, sms
 *     nvlink|index of the gpu|link|type|bus id         an active NVLink; type 0 another GPU, 2 a switch
 *     level|index|index|40                             nvmlGpuTopologyLevel_t between two GPUs
 *     fault|index, or * for any|function|error         what this function answers
 *     xid|sequence|index of the gpu|number|gi|ci       an event; sequence numbers only grow, 4294967295 is no instance
 * A figure of -1 answers NVML_ERROR_NOT_SUPPORTED. A GPU's fault other than 0 is what every call about it answers.
 * Errors, structures and numbers are those of nvml.h. Symbols that a driver lacks are not exported (`build_nvml`).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9, TIMED_OUT = 10, LOST = 15 };
enum { MAX_GPUS = 32, MAX_MIG = 7, TEXT = 96, MAX_PIDS = 16, MAX_LINKS = 18, MAX_FACTS = 40, MAX_FAULTS = 64, MAX_EVENTS = 64 };
enum { SWITCH = 2, XID_EVENT = 8, NO_INSTANCE = 0xFFFFFFFFu, RECOVERY_FIELD = 230 };

typedef struct { char name[24], value[40]; } fact;
typedef struct { int active, type; char bus[TEXT]; } nvlink;
typedef struct { int gpu, error; char call[64]; } fault_line;
typedef struct { long sequence; int gpu; unsigned long long number; unsigned gi, ci; } xid_line;

typedef struct device {
    char uuid[TEXT], name[TEXT], bus[TEXT];
    long long total, used;
    int index, place; /* place -1: a whole GPU */
    int major, minor, fault, mig_mode, utilization, temperature, milliwatts, present;
    unsigned pids[MAX_PIDS];
    unsigned long long pid_bytes[MAX_PIDS];
    int pid_count, fact_count;
    fact facts[MAX_FACTS];
    nvlink links[MAX_LINKS];
} device;

typedef struct {
    device gpus[MAX_GPUS], instances[MAX_GPUS][MAX_MIG];
    int levels[MAX_GPUS][MAX_GPUS];
    char driver[TEXT], stuck[64];
    int gpu_count, cuda, init_error, hangs, reload, fault_count, xid_count;
    fault_line faults[MAX_FAULTS];
    xid_line xids[MAX_EVENTS];
} machine;

typedef struct { unsigned long long total, free, used; } memory_info;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_info_v2;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci_info;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_info;
typedef struct { unsigned pid; unsigned long long used; } oldest_process_info;
typedef struct { unsigned sms, copies, decoders, encoders, jpegs, ofas, slices, ci_slices; unsigned long long memory_mb; } attributes;
typedef struct { device *device; unsigned long long type, data; unsigned gi, ci; } event_data;
typedef struct { int used, registered[MAX_GPUS]; long seen; } event_set;
typedef struct { unsigned gpu, memory; unsigned long long most, time, start; unsigned running, reserved[5]; } accounting;
typedef struct { unsigned id, scope; long long timestamp, latency; int type, result; unsigned long long value; } field_value;

static machine now, fresh;
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static struct stat read_at;
static int sessions, reload_at_start;
static event_set sets[16];

/* The next field of a line; strtok would swallow empty ones. */
static char *next(char **rest) {
    char *field = strsep(rest, "|\n");
    return field ? field : "";
}

static device *gpu_at(machine *m, const char *index) {
    int number = atoi(index);
    return &m->gpus[number < 0 || number >= MAX_GPUS ? 0 : number];
}

static void read_pids(device *d, char *text) {
    for (char *pid = strsep(&text, ","); pid && *pid && d->pid_count < MAX_PIDS; pid = strsep(&text, ",")) {
        char *bytes = strchr(pid, ':');
        d->pid_bytes[d->pid_count] = bytes ? strtoull(bytes + 1, NULL, 10) : 1 << 20;
        d->pids[d->pid_count++] = (unsigned)atoi(pid);
    }
}

static void read_gpu(machine *m, char *rest) {
    device *d = &m->gpus[m->gpu_count];
    d->present = 1;
    d->place = -1;
    d->index = m->gpu_count++;
    snprintf(d->uuid, TEXT, "%s", next(&rest));
    snprintf(d->name, TEXT, "%s", next(&rest));
    d->total = atoll(next(&rest));
    d->used = atoll(next(&rest));
    sscanf(next(&rest), "%d.%d", &d->major, &d->minor);
    snprintf(d->bus, TEXT, "%s", next(&rest));
    d->fault = atoi(next(&rest));
    d->mig_mode = atoi(next(&rest));
    d->utilization = atoi(next(&rest));
    d->temperature = atoi(next(&rest));
    d->milliwatts = atoi(next(&rest));
    read_pids(d, next(&rest));
}

static void read_instance(machine *m, char *rest) {
    int index = atoi(next(&rest)), place = atoi(next(&rest));
    device *d = &m->instances[index][place];
    d->present = 1;
    d->index = index;
    d->place = place;
    snprintf(d->uuid, TEXT, "%s", next(&rest));
    snprintf(d->name, TEXT, "%s", next(&rest));
    d->total = atoll(next(&rest));
    d->used = atoll(next(&rest));
    d->mig_mode = d->utilization = d->temperature = d->milliwatts = -1;
}

static void read_fact(device *d, char *rest) {
    if (d->fact_count == MAX_FACTS) return;
    fact *f = &d->facts[d->fact_count++];
    snprintf(f->name, sizeof f->name, "%s", next(&rest));
    snprintf(f->value, sizeof f->value, "%s", next(&rest));
}

static void read_nvlink(machine *m, char *rest) {
    device *d = gpu_at(m, next(&rest));
    int number = atoi(next(&rest));
    if (number >= MAX_LINKS) return;
    nvlink *link = &d->links[number];
    link->active = 1;
    link->type = atoi(next(&rest));
    snprintf(link->bus, TEXT, "%s", next(&rest));
}

static void read_level(machine *m, char *rest) {
    int a = gpu_at(m, next(&rest))->index, b = gpu_at(m, next(&rest))->index;
    m->levels[a][b] = m->levels[b][a] = atoi(next(&rest)) + 1; /* 0: nobody said */
}

static void read_fault(machine *m, char *rest) {
    if (m->fault_count == MAX_FAULTS) return;
    fault_line *f = &m->faults[m->fault_count++];
    char *index = next(&rest);
    f->gpu = *index == '*' ? -1 : atoi(index);
    snprintf(f->call, sizeof f->call, "%s", next(&rest));
    f->error = atoi(next(&rest));
}

static void read_xid(machine *m, char *rest) {
    if (m->xid_count == MAX_EVENTS) return;
    xid_line *x = &m->xids[m->xid_count++];
    x->sequence = atol(next(&rest));
    x->gpu = atoi(next(&rest));
    x->number = strtoull(next(&rest), NULL, 10);
    x->gi = (unsigned)strtoul(next(&rest), NULL, 10);
    x->ci = (unsigned)strtoul(next(&rest), NULL, 10);
}

static void read_line(machine *m, char *rest) {
    char *kind = next(&rest);
    if (!strcmp(kind, "driver")) snprintf(m->driver, TEXT, "%s", next(&rest));
    else if (!strcmp(kind, "cuda")) m->cuda = atoi(next(&rest));
    else if (!strcmp(kind, "init")) m->init_error = atoi(next(&rest));
    else if (!strcmp(kind, "hang")) m->hangs = 1;
    else if (!strcmp(kind, "stuck")) snprintf(m->stuck, sizeof m->stuck, "%s", next(&rest));
    else if (!strcmp(kind, "reload")) m->reload = atoi(next(&rest));
    else if (!strcmp(kind, "gpu")) read_gpu(m, rest);
    else if (!strcmp(kind, "mig")) read_instance(m, rest);
    else if (!strcmp(kind, "fact")) { device *d = gpu_at(m, next(&rest)); read_fact(d, rest); }
    else if (!strcmp(kind, "migfact")) {
        int index = atoi(next(&rest)), place = atoi(next(&rest));
        read_fact(&m->instances[index][place], rest);
    } else if (!strcmp(kind, "nvlink")) read_nvlink(m, rest);
    else if (!strcmp(kind, "level")) read_level(m, rest);
    else if (!strcmp(kind, "fault")) read_fault(m, rest);
    else if (!strcmp(kind, "xid")) read_xid(m, rest);
}

/* Read the file if it is another than before; whether there is one. */
static int refresh(void) {
    const char *path = getenv("FLOW_TEST_NVML");
    struct stat found;
    if (!path || stat(path, &found)) return 0;
    pthread_mutex_lock(&reading);
    if (found.st_ino != read_at.st_ino || found.st_size != read_at.st_size || memcmp(&found.st_mtim, &read_at.st_mtim, sizeof found.st_mtim)) {
        FILE *file = fopen(path, "r");
        char line[1024];
        memset(&fresh, 0, sizeof fresh);
        while (file && fgets(line, sizeof line, file)) read_line(&fresh, line);
        if (file) fclose(file), memcpy(&now, &fresh, sizeof now), read_at = found;
    }
    pthread_mutex_unlock(&reading);
    return 1;
}

static void doze(void) { nanosleep(&(struct timespec){0, 10000000}, NULL); }

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (!refresh()) return NO_DRIVER;
    while (now.hangs) doze(), refresh();
    if (now.init_error) return now.init_error;
    if (!sessions || reload_at_start != now.reload) sessions = 0, reload_at_start = now.reload;
    sessions++;
    return OK;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!sessions) return UNINITIALIZED;
    sessions--;
    const char *trace = getenv("FLOW_TEST_NVML_TRACE"); /* so that a test can see that each session is ended */
    FILE *file = trace ? fopen(trace, "a") : NULL;
    if (file) fprintf(file, "shutdown, %d left\n", sessions), fclose(file);
    return OK;
}

const char *nvmlErrorString(int error) {
    switch (error) {
        case OK: return "Success";
        case UNINITIALIZED: return "Uninitialized";
        case INVALID: return "Invalid Argument";
        case NOT_SUPPORTED: return "Not Supported";
        case NOT_FOUND: return "Not Found";
        case NO_DRIVER: return "Driver Not Loaded";
        case TIMED_OUT: return "Timeout";
        case LOST: return "GPU is lost";
        default: return "Unknown Error";
    }
}

/* What every call answers first; `gpu` -1: it is about none. */
static int check_call(int gpu, const char *call) {
    refresh();
    while (!strcmp(now.stuck, call)) doze(), refresh();
    if (!sessions || reload_at_start != now.reload) return UNINITIALIZED;
    for (int i = 0; i < now.fault_count; i++)
        if (!strcmp(now.faults[i].call, call) && (now.faults[i].gpu < 0 || now.faults[i].gpu == gpu)) return now.faults[i].error;
    return OK;
}
static int check_device(const device *d, const char *call) {
    int error = check_call(d ? d->index : -1, call);
    if (error) return error;
    if (!d || !d->present) return INVALID;
    return now.gpus[d->index].fault;
}
#define CHECK(d) do { int error_ = check_device((d), __func__); if (error_) return error_; } while (0)
#define CHECK_CALL() do { int error_ = check_call(-1, __func__); if (error_) return error_; } while (0)
#define WHOLE(d) do { CHECK(d); if ((d)->place >= 0) return INVALID; } while (0)

static int copy(char *to, unsigned size, const char *text) {
    if (strlen(text) >= size) return TOO_SMALL;
    strcpy(to, text);
    return OK;
}

static int give(long long figure, unsigned *to) {
    if (figure < 0) return NOT_SUPPORTED;
    *to = (unsigned)figure;
    return OK;
}

static const char *fact_text(const device *d, const char *name) {
    for (int i = 0; i < d->fact_count; i++)
        if (!strcmp(d->facts[i].name, name)) return d->facts[i].value;
    return NULL;
}
static long long fact_of(const device *d, const char *name) {
    const char *text = fact_text(d, name);
    return text && *text ? atoll(text) : -1;
}
/* A call that gives one number of a whole GPU. */
#define FIGURE(call, name) int call(device *d, unsigned *to) { WHOLE(d); return give(fact_of(d, name), to); }

int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    CHECK_CALL();
    return copy(version, size, now.driver);
}
int nvmlSystemGetNVMLVersion(char *version, unsigned size) { return nvmlSystemGetDriverVersion(version, size); }
int nvmlSystemGetCudaDriverVersion(int *version) { refresh(); *version = now.cuda; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { CHECK_CALL(); *version = now.cuda; return OK; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    CHECK_CALL();
    *count = (unsigned)now.gpu_count;
    return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **handle) {
    CHECK_CALL();
    if ((int)index >= now.gpu_count) return INVALID;
    *handle = &now.gpus[index];
    CHECK(*handle);
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, device **handle) {
    CHECK_CALL();
    for (int i = 0; i < now.gpu_count; i++) {
        if (!strcmp(now.gpus[i].uuid, uuid)) { *handle = &now.gpus[i]; return check_device(*handle, __func__); }
        for (int place = 0; place < MAX_MIG; place++)
            if (now.instances[i][place].present && !strcmp(now.instances[i][place].uuid, uuid)) {
                *handle = &now.instances[i][place];
                return check_device(*handle, __func__);
            }
    }
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, device **handle) {
    CHECK_CALL();
    for (int i = 0; i < now.gpu_count; i++)
        if (!strcasecmp(now.gpus[i].bus, bus)) { *handle = &now.gpus[i]; return check_device(*handle, __func__); }
    return NOT_FOUND;
}
int nvmlDeviceGetIndex(device *d, unsigned *index) { WHOLE(d); return give(d->index, index); }
int nvmlDeviceGetMinorNumber(device *d, unsigned *minor) { WHOLE(d); return give(d->index, minor); }
int nvmlDeviceGetName(device *d, char *name, unsigned size) { CHECK(d); return copy(name, size, d->name); }
int nvmlDeviceGetUUID(device *d, char *uuid, unsigned size) { CHECK(d); return copy(uuid, size, d->uuid); }

int nvmlDeviceGetMemoryInfo(device *d, memory_info *info) {
    CHECK(d);
    if (d->total < 0) return NOT_SUPPORTED;
    *info = (memory_info){(unsigned long long)d->total, (unsigned long long)(d->total - d->used), (unsigned long long)d->used};
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(device *d, memory_info_v2 *info) {
    CHECK(d);
    if (d->total < 0) return NOT_SUPPORTED;
    if (info->version != (sizeof *info | 2u << 24)) return 25; /* NVML_ERROR_ARGUMENT_VERSION_MISMATCH */
    long long reserved = fact_of(d, "reserved");
    if (reserved < 0) reserved = 0;
    info->total = (unsigned long long)d->total;
    info->reserved = (unsigned long long)reserved;
    info->used = (unsigned long long)d->used;
    info->free = (unsigned long long)(d->total - d->used - reserved);
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(device *d, int *major, int *minor) {
    WHOLE(d);
    *major = d->major;
    *minor = d->minor;
    return OK;
}
int nvmlDeviceGetPciInfo_v3(device *d, pci_info *info) {
    WHOLE(d);
    memset(info, 0, sizeof *info);
    sscanf(d->bus, "%x:%x:%x", &info->domain, &info->bus, &info->device);
    return copy(info->bus_id, sizeof info->bus_id, d->bus);
}
int nvmlDeviceGetUtilizationRates(device *d, utilization *rates) {
    CHECK(d);
    rates->memory = 0;
    return give(d->utilization, &rates->gpu);
}
int nvmlDeviceGetTemperature(device *d, unsigned sensor, unsigned *celsius) {
    CHECK(d);
    return sensor ? INVALID : give(d->temperature, celsius);
}
int nvmlDeviceGetPowerUsage(device *d, unsigned *milliwatts) { CHECK(d); return give(d->milliwatts, milliwatts); }
FIGURE(nvmlDeviceGetEnforcedPowerLimit, "power_limit")
FIGURE(nvmlDeviceGetPowerManagementLimit, "power_limit")
FIGURE(nvmlDeviceGetPersistenceMode, "persistence")
FIGURE(nvmlDeviceGetRetiredPagesPendingStatus, "retired_pending")
FIGURE(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_gen")
FIGURE(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
FIGURE(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_max_gen")
FIGURE(nvmlDeviceGetMaxPcieLinkWidth, "pcie_max_width")
FIGURE(nvmlDeviceGetNumaNodeId, "numa")
FIGURE(nvmlDeviceGetAccountingMode, "accounting")

int nvmlDeviceGetClockInfo(device *d, unsigned type, unsigned *mhz) {
    WHOLE(d);
    return give(fact_of(d, type == 2 ? "clock_memory" : "clock_sm"), mhz);
}
int nvmlDeviceGetMaxClockInfo(device *d, unsigned type, unsigned *mhz) {
    WHOLE(d);
    return give(fact_of(d, type == 2 ? "max_clock_memory" : "max_clock_sm"), mhz);
}
int nvmlDeviceGetPcieThroughput(device *d, unsigned counter, unsigned *kilobytes) {
    WHOLE(d);
    return give(fact_of(d, counter ? "pcie_rx" : "pcie_tx"), kilobytes);
}
int nvmlDeviceGetCpuAffinity(device *d, unsigned size, unsigned long *set) {
    WHOLE(d);
    const char *mask = fact_text(d, "cpus"); /* hexadecimal, of the first 64 */
    if (!mask) return NOT_SUPPORTED;
    memset(set, 0, size * sizeof *set);
    if (size) set[0] = strtoul(mask, NULL, 16);
    return OK;
}
int nvmlDeviceGetEccMode(device *d, unsigned *current, unsigned *pending) {
    WHOLE(d);
    *pending = fact_of(d, "ecc") > 0;
    return give(fact_of(d, "ecc"), current);
}
int nvmlDeviceGetTotalEccErrors(device *d, unsigned type, unsigned counter, unsigned long long *count) {
    WHOLE(d);
    (void)counter;
    long long errors = fact_of(d, type ? "uncorrected" : "corrected");
    if (errors < 0) return NOT_SUPPORTED;
    *count = (unsigned long long)errors;
    return OK;
}
static int give_reasons(device *d, unsigned long long *reasons) {
    long long found = fact_of(d, "reasons");
    if (found < 0) return NOT_SUPPORTED;
    *reasons = (unsigned long long)found;
    return OK;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(device *d, unsigned long long *reasons) { WHOLE(d); return give_reasons(d, reasons); }
int nvmlDeviceGetCurrentClocksEventReasons(device *d, unsigned long long *reasons) { WHOLE(d); return give_reasons(d, reasons); }
int nvmlDeviceGetRemappedRows(device *d, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    WHOLE(d);
    const char *text = fact_text(d, "remapped");
    return text && sscanf(text, "%u,%u,%u,%u", corrected, uncorrected, pending, failed) == 4 ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetRetiredPages(device *d, unsigned cause, unsigned *count, unsigned long long *addresses) {
    WHOLE(d);
    long long pages = fact_of(d, cause ? "retired_dbe" : "retired_sbe");
    if (pages < 0) return NOT_SUPPORTED;
    unsigned room = *count;
    *count = (unsigned)pages;
    if (room < *count) return TOO_SMALL;
    for (unsigned i = 0; i < *count; i++) addresses[i] = 4096ull * i;
    return OK;
}
int nvmlDeviceGetFieldValues(device *d, int count, field_value *values) {
    CHECK(d);
    for (int i = 0; i < count; i++) {
        long long recovery = fact_of(d, "recovery");
        values[i].result = values[i].id == RECOVERY_FIELD && recovery >= 0 ? OK : NOT_SUPPORTED;
        values[i].type = 1; /* NVML_VALUE_TYPE_UNSIGNED_INT */
        values[i].value = (unsigned long long)recovery;
    }
    return OK;
}

/* Links */

int nvmlDeviceGetNvLinkState(device *d, unsigned link, unsigned *active) {
    WHOLE(d);
    int any = 0;
    for (int i = 0; i < MAX_LINKS; i++) any |= d->links[i].active;
    if (!any) return NOT_SUPPORTED;
    if (link >= MAX_LINKS) return INVALID;
    *active = (unsigned)d->links[link].active;
    return OK;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(device *d, unsigned link, pci_info *info) {
    WHOLE(d);
    if (link >= MAX_LINKS || !d->links[link].active) return INVALID;
    memset(info, 0, sizeof *info);
    return copy(info->bus_id, sizeof info->bus_id, d->links[link].bus);
}
int nvmlDeviceGetNvLinkRemoteDeviceType(device *d, unsigned link, unsigned *type) {
    WHOLE(d);
    if (link >= MAX_LINKS || !d->links[link].active) return INVALID;
    *type = (unsigned)d->links[link].type;
    return OK;
}
int nvmlDeviceGetTopologyCommonAncestor(device *d, device *other, unsigned *level) {
    WHOLE(d);
    WHOLE(other);
    return give(now.levels[d->index][other->index] - 1, level);
}
int nvmlDeviceGetP2PStatus(device *d, device *other, unsigned index, unsigned *status) {
    WHOLE(d);
    WHOLE(other);
    int linked = 0;
    for (int i = 0; i < MAX_LINKS; i++)
        linked |= d->links[i].active && (d->links[i].type == SWITCH || !strcasecmp(d->links[i].bus, other->bus));
    *status = index == 2 && !linked ? 5 : 0; /* NVML_P2P_CAPS_INDEX_NVLINK, NVML_P2P_STATUS_NOT_SUPPORTED */
    return OK;
}

/* MIG */

int nvmlDeviceGetMigMode(device *d, unsigned *current, unsigned *pending) {
    CHECK(d);
    *pending = 0;
    return give(d->mig_mode, current);
}
int nvmlDeviceGetMaxMigDeviceCount(device *d, unsigned *count) { CHECK(d); *count = MAX_MIG; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(device *d, unsigned place, device **handle) {
    WHOLE(d);
    if (place >= MAX_MIG) return INVALID;
    *handle = &now.instances[d->index][place];
    return (*handle)->present ? OK : NOT_FOUND;
}
int nvmlDeviceIsMigDeviceHandle(device *d, unsigned *is) { CHECK(d); *is = d->place >= 0; return OK; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device *d, device **parent) {
    CHECK(d);
    if (d->place < 0) return INVALID;
    *parent = &now.gpus[d->index];
    return OK;
}
int nvmlDeviceGetGpuInstanceId(device *d, unsigned *id) { CHECK(d); return d->place < 0 ? INVALID : give(fact_of(d, "gi"), id); }
int nvmlDeviceGetComputeInstanceId(device *d, unsigned *id) { CHECK(d); return d->place < 0 ? INVALID : give(fact_of(d, "ci"), id); }
int nvmlDeviceGetAttributes_v2(device *d, attributes *a) {
    CHECK(d);
    if (d->place < 0 || fact_of(d, "slices") < 0) return NOT_SUPPORTED;
    memset(a, 0, sizeof *a);
    a->sms = (unsigned)fact_of(d, "sms");
    a->slices = (unsigned)fact_of(d, "slices");
    a->ci_slices = (unsigned)fact_of(d, "ci_slices");
    a->memory_mb = (unsigned long long)d->total >> 20;
    return OK;
}

/* Processes */

/* How many processes there are, and whether the caller has room for them. */
static int count_processes(device *d, unsigned *count) {
    unsigned room = *count;
    *count = (unsigned)d->pid_count;
    return room < *count ? TOO_SMALL : OK;
}
static int list_processes(device *d, unsigned *count, process_info *infos) {
    int error = count_processes(d, count);
    for (unsigned i = 0; !error && i < *count; i++)
        infos[i] = (process_info){d->pids[i], d->pid_bytes[i], NO_INSTANCE, NO_INSTANCE};
    return error;
}
static int list_oldest_processes(device *d, unsigned *count, oldest_process_info *infos) {
    int error = count_processes(d, count);
    for (unsigned i = 0; !error && i < *count; i++) infos[i] = (oldest_process_info){d->pids[i], d->pid_bytes[i]};
    return error;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device *d, unsigned *count, process_info *infos) { CHECK(d); return list_processes(d, count, infos); }
int nvmlDeviceGetComputeRunningProcesses_v2(device *d, unsigned *count, process_info *infos) { CHECK(d); return list_processes(d, count, infos); }
int nvmlDeviceGetComputeRunningProcesses(device *d, unsigned *count, oldest_process_info *infos) { CHECK(d); return list_oldest_processes(d, count, infos); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(device *d, unsigned *count, process_info *infos) { CHECK(d); (void)infos; *count = 0; return OK; }
int nvmlDeviceGetAccountingBufferSize(device *d, unsigned *size) { CHECK(d); *size = MAX_PIDS; return OK; }
int nvmlDeviceGetAccountingPids(device *d, unsigned *count, unsigned *pids) {
    CHECK(d);
    if (fact_of(d, "accounting") <= 0) return NOT_SUPPORTED;
    int error = count_processes(d, count);
    for (unsigned i = 0; !error && i < *count; i++) pids[i] = d->pids[i];
    return error;
}
int nvmlDeviceGetAccountingStats(device *d, unsigned pid, accounting *stats) {
    CHECK(d);
    if (fact_of(d, "accounting") <= 0) return NOT_SUPPORTED;
    for (int i = 0; i < d->pid_count; i++)
        if (d->pids[i] == pid) {
            memset(stats, 0, sizeof *stats);
            stats->gpu = (unsigned)d->utilization;
            stats->most = d->pid_bytes[i];
            stats->running = 1;
            return OK;
        }
    return NOT_FOUND;
}

/* Events */

int nvmlDeviceGetSupportedEventTypes(device *d, unsigned long long *types) { WHOLE(d); *types = XID_EVENT; return OK; }
int nvmlEventSetCreate(event_set **set) {
    CHECK_CALL();
    for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++)
        if (!sets[i].used) {
            memset(&sets[i], 0, sizeof sets[i]);
            sets[i].used = 1;
            for (int x = 0; x < now.xid_count; x++) /* what was before is no event */
                if (now.xids[x].sequence > sets[i].seen) sets[i].seen = now.xids[x].sequence;
            *set = &sets[i];
            return OK;
        }
    return 23; /* NVML_ERROR_INSUFFICIENT_RESOURCES */
}
int nvmlDeviceRegisterEvents(device *d, unsigned long long types, event_set *set) {
    WHOLE(d);
    if (types & ~(unsigned long long)XID_EVENT) return NOT_SUPPORTED;
    set->registered[d->index] = 1;
    return OK;
}
static xid_line *find_event(event_set *set) {
    for (int i = 0; i < now.xid_count; i++)
        if (now.xids[i].sequence > set->seen) {
            set->seen = now.xids[i].sequence;
            if (set->registered[now.xids[i].gpu]) return &now.xids[i];
        }
    return NULL;
}
static int wait_for_event(event_set *set, event_data *data, unsigned milliseconds) {
    for (unsigned waited = 0;; waited += 10) {
        int error = check_call(-1, "nvmlEventSetWait_v2");
        if (error) return error;
        xid_line *found = find_event(set);
        if (found) {
            *data = (event_data){&now.gpus[found->gpu], XID_EVENT, found->number, found->gi, found->ci};
            return OK;
        }
        for (int i = 0; i < now.gpu_count; i++)
            if (set->registered[i] && now.gpus[i].fault == LOST) { doze(); return LOST; }
        if (waited >= milliseconds) return TIMED_OUT;
        doze();
    }
}
int nvmlEventSetWait_v2(event_set *set, event_data *data, unsigned milliseconds) { return wait_for_event(set, data, milliseconds); }
int nvmlEventSetWait(event_set *set, event_data *data, unsigned milliseconds) { return wait_for_event(set, data, milliseconds); }
int nvmlEventSetFree(event_set *set) { set->used = 0; return OK; }
