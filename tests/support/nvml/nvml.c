/* A stand-in for NVIDIA's libnvidia-ml.so.1: the calls that the agent makes through pynvml, answered from a text file.
 *
 * FLOW_TEST_NVML names the file; it is read anew at each nvmlInit. A line is a kind and its fields, separated by '|':
 *     driver|550.54.15
 *     cuda|12040
 *     init|9                      nvmlInit answers this error
 *     hang|                       nvmlInit never answers
 *     gpu|uuid|name|total|used|major.minor|bus id|fault|mig mode|utilization|temperature|milliwatts|pids (a,b)
 *     mig|index of its gpu|place|uuid|name|total|used
 * A figure of -1 answers NVML_ERROR_NOT_SUPPORTED. A fault other than 0 is what every call about that GPU answers.
 * Errors, structures and numbers are those of nvml.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9 };
enum { MAX_GPUS = 32, MAX_MIG = 7, TEXT = 96, MAX_PIDS = 16 };

typedef struct device {
    char uuid[TEXT], name[TEXT], bus[TEXT];
    long long total, used;
    int major, minor, fault, mig_mode, utilization, temperature, milliwatts, present, is_mig;
    int pids[MAX_PIDS], pid_count;
    struct device *parent, *instances;
} device;

typedef struct { unsigned long long total, free, used; } memory_info;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci_info;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_info;

typedef struct { unsigned pid; unsigned long long used; } oldest_process_info;

static device gpus[MAX_GPUS], instances[MAX_GPUS][MAX_MIG];
static char driver[TEXT];
static int gpu_count, cuda, init_error, hangs, sessions;

/* The next field of a line; strtok would swallow empty ones. */
static char *next(char **rest) {
    char *field = strsep(rest, "|\n");
    return field ? field : "";
}

static void read_pids(device *d, char *text) {
    for (char *pid = strsep(&text, ","); pid && *pid && d->pid_count < MAX_PIDS; pid = strsep(&text, ","))
        d->pids[d->pid_count++] = atoi(pid);
}

static void read_gpu(char *rest) {
    device *d = &gpus[gpu_count];
    d->present = 1;
    d->instances = instances[gpu_count++];
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

static void read_instance(char *rest) {
    int index = atoi(next(&rest)), place = atoi(next(&rest));
    device *d = &instances[index][place];
    d->present = d->is_mig = 1;
    d->parent = &gpus[index];
    snprintf(d->uuid, TEXT, "%s", next(&rest));
    snprintf(d->name, TEXT, "%s", next(&rest));
    d->total = atoll(next(&rest));
    d->used = atoll(next(&rest));
    d->mig_mode = d->utilization = d->temperature = d->milliwatts = -1;
}

static void read_configuration(FILE *file) {
    char line[1024];
    while (fgets(line, sizeof line, file)) {
        char *rest = line, *kind = next(&rest);
        if (!strcmp(kind, "driver")) snprintf(driver, TEXT, "%s", next(&rest));
        else if (!strcmp(kind, "cuda")) cuda = atoi(next(&rest));
        else if (!strcmp(kind, "init")) init_error = atoi(next(&rest));
        else if (!strcmp(kind, "hang")) hangs = 1;
        else if (!strcmp(kind, "gpu")) read_gpu(rest);
        else if (!strcmp(kind, "mig")) read_instance(rest);
    }
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *path = getenv("FLOW_TEST_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return NO_DRIVER;
    memset(gpus, 0, sizeof gpus);
    memset(instances, 0, sizeof instances);
    gpu_count = cuda = init_error = hangs = 0;
    read_configuration(file);
    fclose(file);
    while (hangs) pause();
    if (init_error) return init_error;
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
        case NOT_SUPPORTED: return "Not Supported";
        case NOT_FOUND: return "Not Found";
        case NO_DRIVER: return "Driver Not Loaded";
        default: return "Unknown Error";
    }
}

/* What every call about a device answers first. */
static int check(const device *d) {
    if (!sessions) return UNINITIALIZED;
    if (!d || !d->present) return INVALID;
    return d->parent && d->parent->fault ? d->parent->fault : d->fault;
}

static int copy(char *to, unsigned size, const char *text) {
    if (strlen(text) >= size) return TOO_SMALL;
    strcpy(to, text);
    return OK;
}

static int give(int figure, unsigned *to) {
    if (figure < 0) return NOT_SUPPORTED;
    *to = (unsigned)figure;
    return OK;
}

int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    return sessions ? copy(version, size, driver) : UNINITIALIZED;
}
int nvmlSystemGetCudaDriverVersion(int *version) { *version = cuda; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = cuda; return sessions ? OK : UNINITIALIZED; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = (unsigned)gpu_count;
    return sessions ? OK : UNINITIALIZED;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **handle) {
    if ((int)index >= gpu_count) return INVALID;
    *handle = &gpus[index];
    return check(*handle);
}
int nvmlDeviceGetName(device *d, char *name, unsigned size) {
    int error = check(d);
    return error ? error : copy(name, size, d->name);
}
int nvmlDeviceGetUUID(device *d, char *uuid, unsigned size) {
    int error = check(d);
    return error ? error : copy(uuid, size, d->uuid);
}
int nvmlDeviceGetMemoryInfo(device *d, memory_info *info) {
    int error = check(d);
    if (error) return error;
    if (d->total < 0) return NOT_SUPPORTED;
    *info = (memory_info){(unsigned long long)d->total, (unsigned long long)(d->total - d->used), (unsigned long long)d->used};
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(device *d, int *major, int *minor) {
    int error = check(d);
    if (error) return error;
    if (d->is_mig) return INVALID;
    *major = d->major;
    *minor = d->minor;
    return OK;
}
int nvmlDeviceGetPciInfo_v3(device *d, pci_info *info) {
    int error = check(d);
    if (error) return error;
    if (d->is_mig) return INVALID;
    memset(info, 0, sizeof *info);
    return copy(info->bus_id, sizeof info->bus_id, d->bus);
}
int nvmlDeviceGetUtilizationRates(device *d, utilization *rates) {
    int error = check(d);
    rates->memory = 0;
    return error ? error : give(d->utilization, &rates->gpu);
}
int nvmlDeviceGetTemperature(device *d, unsigned sensor, unsigned *celsius) {
    int error = check(d);
    return error ? error : sensor ? INVALID : give(d->temperature, celsius);
}
int nvmlDeviceGetPowerUsage(device *d, unsigned *milliwatts) {
    int error = check(d);
    return error ? error : give(d->milliwatts, milliwatts);
}
int nvmlDeviceGetMigMode(device *d, unsigned *current, unsigned *pending) {
    int error = check(d);
    *pending = 0;
    return error ? error : give(d->mig_mode, current);
}
int nvmlDeviceGetMaxMigDeviceCount(device *d, unsigned *count) {
    *count = MAX_MIG;
    return check(d);
}
int nvmlDeviceGetMigDeviceHandleByIndex(device *d, unsigned place, device **handle) {
    int error = check(d);
    if (error) return error;
    if (place >= MAX_MIG) return INVALID;
    *handle = &d->instances[place];
    return (*handle)->present ? OK : NOT_FOUND;
}
/* How many processes there are, and whether the caller has room for them. */
static int count_processes(device *d, unsigned *count) {
    int error = check(d);
    if (error) return error;
    unsigned room = *count;
    *count = (unsigned)d->pid_count;
    return room < *count ? TOO_SMALL : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device *d, unsigned *count, process_info *infos) {
    int error = count_processes(d, count);
    for (unsigned i = 0; !error && i < *count; i++) infos[i] = (process_info){(unsigned)d->pids[i], 1 << 20, 0, 0};
    return error;
}
int nvmlDeviceGetComputeRunningProcesses_v2(device *d, unsigned *count, process_info *infos) {
    return nvmlDeviceGetComputeRunningProcesses_v3(d, count, infos);
}
int nvmlDeviceGetComputeRunningProcesses(device *d, unsigned *count, oldest_process_info *infos) {
    int error = count_processes(d, count);
    for (unsigned i = 0; !error && i < *count; i++) infos[i] = (oldest_process_info){(unsigned)d->pids[i], 1 << 20};
    return error;
}
