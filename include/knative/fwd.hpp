/// \file
/// Names only: the types that interfaces of a host program mention, declared and not defined.
///
/// For headers that take or hold references to the library's types; sources include the room's own
/// header, which every section names. It includes nothing, so it costs nothing. Enumerations and
/// the parts of manifests' objects are not here.
///
/// \code
/// #include <knative/fwd.hpp>
/// class Shop {
///  public:
///   explicit Shop(knative::Platform& platform);
///   knative::Task<void> open();
/// };
/// \endcode
#pragma once

namespace knative {

// error.hpp, value.hpp, task.hpp
struct Error;
class Exception;
template <class T>
class Result;
class Value;
template <class T>
class Task;
class TaskSet;
class Wakeup;
class Executor;

// env.hpp, io.hpp
struct Env;
struct LoopOptions;
class Loop;
class Timers;
class Random;
class Offload;
class Logger;
struct Endpoint;
class Network;
class Listener;
class Stream;
class Files;
class File;
class Processes;
class Process;

namespace tls {
struct Facts;
struct Identity;
struct ClientOptions;
struct ServerOptions;
class SecureNetwork;
class SecureListener;
class Authority;
}  // namespace tls

// metrics.hpp
class Metrics;
class MetricSet;
class Counter;
class Gauge;
class Histogram;

namespace http {
class Headers;
class Body;
struct Request;
struct Response;
class Handler;
class Server;
class Client;
class Outbound;
struct Url;
}  // namespace http

// event.hpp
class CloudEvent;
struct DeliveryAttempt;
class Sink;
class Filter;

namespace oci {
struct RegistryClientOptions;
class Digest;
struct Reference;
struct Descriptor;
struct Manifest;
struct ImageConfig;
class LayerWriter;
class ImageStore;
class UnpackCache;
class RegistryClient;
class RegistryKeyring;
}  // namespace oci

// meta.hpp
struct ObjectMeta;
struct ObjectRef;
struct OwnerReference;
struct Condition;
class ConditionSet;
struct FieldError;
class FieldErrors;
class AnyObject;
class KindRegistry;
struct KindInfo;

namespace core {
struct Namespace;
struct Secret;
struct ConfigMap;
struct ServiceAccount;
struct Service;
struct Container;
struct PodSpec;
}  // namespace core

namespace build {
struct Build;
struct BuildTemplate;
struct ClusterBuildTemplate;
}  // namespace build

namespace serving {
struct Service;
struct Configuration;
struct Revision;
struct Route;
struct PodAutoscaler;
}  // namespace serving

namespace eventing {
struct Broker;
struct Trigger;
struct EventType;
struct Channel;
struct Subscription;
struct Destination;
struct DeliverySpec;
}  // namespace eventing

// log.hpp, store.hpp
class Log;
class Store;
class Watch;
class LabelSelector;
class FieldSelector;

// container.hpp, container_runtimes.hpp, functions.hpp, workload.hpp
struct ContainerSpec;
class Container;
class ContainerRuntime;
class ContainerRuntimes;
class ImageProvider;
class FunctionTable;
struct InstanceSpec;
class EndpointListener;

// router.hpp
class RouteTable;
class Router;

// throttler.hpp
class Activator;
class Throttler;
class Breaker;
class Demand;

// autoscaler.hpp
struct AutoscalerConfig;
class Autoscaler;
class Decider;
class StatSource;
class ScaleTarget;

// event_broker.hpp
class EventBroker;
class BrokerIngress;
class HttpSink;
struct ParkedEvent;
struct ParkedSelection;

// builder.hpp
class Builder;
class Fetcher;
struct FetcherOptions;
struct BuildResult;

// controller.hpp
class Reconciler;
class Controller;
class WorkQueue;

// platform.hpp
class Platform;
class PlatformThread;
struct PlatformOptions;
class EventSubscription;

// simulation.hpp, load.hpp
class Simulation;
struct FaultPlan;
class Trace;
class Load;
class LoadRun;

}  // namespace knative
