/* fasttrace for C++17: learners that own their memory, over the functions of fasttrace.h.
 *
 *     fasttrace::TrueOnlineTD learner(n_features, alpha);
 *     double delta = learner.step(x, reward, x_next, gamma, lambda);
 *
 * Constructors allocate, steps do not.  A learner is copied with what it has learned.  Distinct learners may be
 * used in distinct threads.  Bad input is thrown, with nothing changed: IndexError, ActionError, ValueError.
 * Discounts and lambdas are those of the state arrived in; a discount of 0 ends the episode. */
#ifndef FASTTRACE_HPP
#define FASTTRACE_HPP

#if __cplusplus < 201703L && !defined(_MSC_VER)
#error "fasttrace.hpp is C++17: compile with -std=c++17 or later"
#endif

#include "fasttrace.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace fasttrace {

/* FT_EINDEX: a feature index below -1 or not below n. */
struct IndexError : std::out_of_range {
    std::int64_t index;
    explicit IndexError(std::int64_t i)
        : std::out_of_range("fasttrace: feature index " + std::to_string(i) + " is out of range"), index(i) {}
};

/* FT_EACTION: an action outside [0, n_actions). */
struct ActionError : std::out_of_range {
    ActionError() : std::out_of_range("fasttrace: an action is out of range") {}
};

/* FT_EVALUE: a number that is not finite or not in its range. */
struct ValueError : std::invalid_argument {
    explicit ValueError(const std::string &what) : std::invalid_argument("fasttrace: " + what) {}
};

/* By reference: it is written by the call that makes the status, in an order of C++'s choice. */
inline void check(std::int32_t status, const std::int64_t &bad_index = -1) {
    if (status == FT_EINDEX) throw IndexError(bad_index);
    if (status == FT_EACTION) throw ActionError();
    if (status != FT_OK) throw ValueError("a number is not finite or not in its range");
}

/* The active features of a state, those of the caller: k indices, -1 is padding, and their values or ones.
 * Made of a vector, an array or a list of int32_t, or two of them. */
struct Features {
    std::int64_t k = 0;
    const std::int32_t *indices = nullptr;
    const double *values = nullptr;

    Features(const std::int32_t *i, std::int64_t size, const double *v = nullptr) : k(size), indices(i), values(v) {}
    Features(std::initializer_list<std::int32_t> i) : Features(i.begin(), std::int64_t(i.size())) {}
    template <class Indices, class = std::enable_if_t<std::is_convertible_v<
                                 decltype(std::declval<const Indices &>().data()), const std::int32_t *>>>
    Features(const Indices &i) : Features(i.data(), std::int64_t(i.size())) {}
    template <class Indices, class Values>
    Features(const Indices &i, const Values &v) : Features(i.data(), std::int64_t(i.size()), v.data()) {
        if (i.size() != v.size()) throw ValueError("indices and values differ in length");
    }
};

namespace detail {

/* Zeros, aligned to a line of cache; a copy has memory of its own. */
template <class T> class Zeros {
    struct Free {
        void operator()(T *p) const { ::operator delete(p, std::align_val_t(64)); }
    };
    std::size_t size_ = 0;
    std::unique_ptr<T, Free> data_;

  public:
    Zeros() = default;
    explicit Zeros(std::int64_t size)
        : size_(std::size_t(size)),
          data_(static_cast<T *>(::operator new((size_ ? size_ : 1) * sizeof(T), std::align_val_t(64)))) {
        std::fill_n(data_.get(), size_, T());
    }
    Zeros(const Zeros &other) : Zeros(std::int64_t(other.size_)) { std::copy_n(other.data_.get(), size_, data_.get()); }
    Zeros(Zeros &&) = default;
    Zeros &operator=(Zeros other) {
        std::swap(size_, other.size_);
        std::swap(data_, other.data_);
        return *this;
    }
    T *data() const { return data_.get(); }
};

inline std::int64_t at_least_one(const char *name, std::int64_t n) {
    if (n < 1) throw ValueError(std::string(name) + ": got " + std::to_string(n) + ", expected at least 1");
    return n;
}

inline ft_stream row_of(const Features &x) {
    ft_stream s = {};
    s.k = x.k;
    s.indices = x.indices;
    s.values = x.values;
    s.n_actions = 1;
    return s;
}

/* Weights and a trace, one or more columns of them. */
class Linear {
  public:
    double alpha; /* step size */

    Linear(const Linear &other)
        : alpha(other.alpha), kind_(other.kind_), rows_(other.rows_), ring_(other.ring_), epochs_(other.epochs_),
          trace_(other.trace_) {
        trace_.rows = rows_.data();
        trace_.ring = ring_.data();
        trace_.epochs = epochs_.data();
    }
    Linear(Linear &&) = default;
    Linear &operator=(Linear other) { /* memory moves with what points to it */
        alpha = other.alpha;
        kind_ = other.kind_;
        rows_ = std::move(other.rows_);
        ring_ = std::move(other.ring_);
        epochs_ = std::move(other.epochs_);
        trace_ = other.trace_;
        return *this;
    }

    /* (n_features * columns), w[i * columns + action] */
    std::vector<double> weights() const { return dense(true); }
    /* The trace as the last update used it. */
    std::vector<double> trace() const { return dense(false); }
    /* The trace becomes empty; weights stay. */
    void reset() { ft_trace_reset(&trace_); }
    std::int64_t n_features() const { return trace_.n; }
    /* For functions of fasttrace.h. */
    ft_trace *handle() { return &trace_; }

  protected:
    Linear(std::int64_t n, std::int64_t columns, double a, std::int32_t kind)
        : alpha(a), kind_(kind),
          rows_(2 * ft_trace_width(at_least_one("columns", columns)) * at_least_one("n_features", n)),
          ring_(2 * ft_trace_ring_size(n)), epochs_(n) {
        ft_trace_init_zeroed(&trace_, n, columns, rows_.data(), ring_.data(), epochs_.data());
    }
    void values_into(const Features &x, double *out) {
        const ft_stream s = row_of(x);
        check(ft_values(&trace_, &s, 1, out), trace_.bad_index);
    }
    double told(std::int32_t status, double delta) {
        check(status, trace_.bad_index);
        return delta;
    }

    std::int32_t kind_;

  private:
    std::vector<double> dense(bool weights) const {
        std::vector<double> w(std::size_t(trace_.n * trace_.columns)), z(w.size());
        ft_trace_dense(&trace_, kind_, w.data(), z.data());
        return weights ? w : z;
    }

    Zeros<double> rows_, ring_;
    Zeros<std::int32_t> epochs_;
    ft_trace trace_;
};

class Prediction : public Linear {
  public:
    double value(const Features &x) {
        double v = 0.0;
        values_into(x, &v);
        return v;
    }
    /* Learn from one transition; the TD error.  rho is the importance ratio of the action taken. */
    double step(const Features &x, double reward, const Features &x_next, double gamma, double lambda,
                double rho = 1.0) {
        double delta = 0.0;
        const std::int32_t status = ft_td_step(handle(), kind_, x.k, x.indices, x.values, x_next.k, x_next.indices,
                                               x_next.values, reward, gamma, lambda, rho, alpha, &delta);
        return told(status, delta);
    }

  protected:
    Prediction(std::int64_t n, double a, std::int32_t kind) : Linear(n, 1, a, kind) {}
};

class Control : public Linear {
  public:
    std::int64_t n_actions() const { return n_actions_; }
    /* q(x, a) of every action; they hold until the next call. */
    const double *values(const Features &x) {
        values_into(x, q_.data());
        return q_.data();
    }
    /* The action of the greatest value, the first of those. */
    std::int64_t greedy(const Features &x) {
        const double *q = values(x);
        return std::max_element(q, q + n_actions_) - q;
    }
    /* Epsilon-greedy, ties broken alike, by a number u in [0, 1). */
    std::int64_t act(const Features &x, double epsilon, double u) {
        return ft_epsilon_greedy(values(x), n_actions_, epsilon, u);
    }

  protected:
    Control(std::int64_t n, std::int64_t n_actions, double a, std::int32_t kind)
        : Linear(n, n_actions, a, kind), n_actions_(n_actions), q_(2 * ft_trace_width(n_actions)) {}
    double sarsa(const Features &x, std::int64_t action, double reward, const Features &x_next,
                 std::int64_t action_next, double gamma, double lambda) {
        double delta = 0.0;
        const std::int32_t status =
            ft_sarsa_step(handle(), kind_, x.k, x.indices, x.values, action, x_next.k, x_next.indices, x_next.values,
                          action_next, reward, gamma, lambda, alpha, &delta);
        return told(status, delta);
    }
    double own(std::int32_t target, double epsilon, const Features &x, std::int64_t action, double reward,
               const Features &x_next, std::int64_t action_next, double gamma, double lambda) {
        double delta = 0.0;
        const std::int32_t status = ft_control_step(
            handle(), kind_, target, FT_EPSILON_GREEDY, epsilon, 0.0, x.k, x.indices, x.values, action, x_next.k,
            x_next.indices, x_next.values, action_next, reward, gamma, lambda, alpha, q_.data(), &delta);
        return told(status, delta);
    }

  private:
    std::int64_t n_actions_;
    Zeros<double> q_;
};

} // namespace detail

/* TD(lambda); given rho, off-policy.  kind: FT_ACCUMULATING, FT_REPLACING or FT_DUTCH. */
class TD : public detail::Prediction {
  public:
    TD(std::int64_t n_features, double alpha_, ft_kind kind = FT_ACCUMULATING) : Prediction(n_features, alpha_, kind) {
        if (kind != FT_ACCUMULATING && kind != FT_REPLACING && kind != FT_DUTCH)
            throw ValueError("kind: expected FT_ACCUMULATING, FT_REPLACING or FT_DUTCH");
    }
};

/* True online TD(lambda). */
class TrueOnlineTD : public detail::Prediction {
  public:
    TrueOnlineTD(std::int64_t n_features, double alpha_) : Prediction(n_features, alpha_, FT_TRUE_ONLINE) {}
};

/* Sarsa(lambda).  kind: FT_REPLACING, FT_REPLACING_CLEAR, FT_ACCUMULATING or FT_DUTCH. */
class Sarsa : public detail::Control {
  public:
    Sarsa(std::int64_t n_features, std::int64_t n_actions, double alpha_, ft_kind kind = FT_REPLACING)
        : Control(n_features, n_actions, alpha_, kind) {
        if (kind > FT_DUTCH) throw ValueError("kind: expected a trace that is not a true online one");
    }
    double step(const Features &x, std::int64_t action, double reward, const Features &x_next,
                std::int64_t action_next, double gamma, double lambda) {
        return sarsa(x, action, reward, x_next, action_next, gamma, lambda);
    }
};

/* True online Sarsa(lambda). */
class TrueOnlineSarsa : public detail::Control {
  public:
    TrueOnlineSarsa(std::int64_t n_features, std::int64_t n_actions, double alpha_)
        : Control(n_features, n_actions, alpha_, FT_TRUE_ONLINE) {}
    double step(const Features &x, std::int64_t action, double reward, const Features &x_next,
                std::int64_t action_next, double gamma, double lambda) {
        return sarsa(x, action, reward, x_next, action_next, gamma, lambda);
    }
};

/* Expected Sarsa(lambda), of an epsilon-greedy policy. */
class ExpectedSarsa : public detail::Control {
  public:
    double epsilon;

    ExpectedSarsa(std::int64_t n_features, std::int64_t n_actions, double alpha_, double epsilon_,
                  ft_kind kind = FT_ACCUMULATING)
        : Control(n_features, n_actions, alpha_, kind), epsilon(epsilon_) {}
    double step(const Features &x, std::int64_t action, double reward, const Features &x_next,
                std::int64_t action_next, double gamma, double lambda) {
        return own(FT_EXPECTED, epsilon, x, action, reward, x_next, action_next, gamma, lambda);
    }
};

/* GTD(lambda), or another learner of two weight vectors, enum ft_gradient_kind but FT_TDRC; beta is the step size
 * of the second. */
class GTD {
  public:
    double alpha, beta;

    GTD(std::int64_t n_features, double alpha_, double beta_, ft_gradient_kind kind = FT_GTD)
        : alpha(alpha_), beta(beta_),
          rows_(detail::at_least_one("n_features", n_features) * ft_gradient_words(kind)),
          ring_(4 * ft_trace_ring_size(n_features)) {
        if (kind == FT_TDRC) throw ValueError("kind: FT_TDRC has another number to be set");
        ft_gradient_init(&trace_, kind, n_features, 1, rows_.data(), ring_.data());
    }
    GTD(const GTD &other)
        : alpha(other.alpha), beta(other.beta), rows_(other.rows_), ring_(other.ring_), trace_(other.trace_) {
        trace_.rows = rows_.data();
        trace_.ring = ring_.data();
    }
    GTD(GTD &&) = default;
    GTD &operator=(GTD other) {
        alpha = other.alpha;
        beta = other.beta;
        rows_ = std::move(other.rows_);
        ring_ = std::move(other.ring_);
        trace_ = other.trace_;
        return *this;
    }

    double value(const Features &x) {
        double v = 0.0;
        const ft_stream s = detail::row_of(x);
        check(ft_gradient_values(&trace_, &s, 1, &v), trace_.bad_index);
        return v;
    }
    /* Learn from one transition; the TD error. */
    double step(const Features &x, double reward, const Features &x_next, double gamma, double lambda,
                double rho = 1.0) {
        double delta = 0.0;
        check(ft_gradient_step(&trace_, beta, x.k, x.indices, x.values, x_next.k, x_next.indices, x_next.values,
                               reward, gamma, lambda, rho, alpha, &delta),
              trace_.bad_index);
        return delta;
    }
    /* The traces become empty; both weight vectors stay. */
    void reset() { ft_gradient_reset(&trace_); }
    std::int64_t n_features() const { return trace_.n; }
    ft_gradient *handle() { return &trace_; }

  private:
    detail::Zeros<double> rows_, ring_;
    ft_gradient trace_;
};

namespace detail {

/* TD(lambda) with a step size for each weight, which learns. */
class StepSizes {
  public:
    StepSizes(const StepSizes &other)
        : trace_(other.trace_), kind_(other.kind_), rows_(other.rows_), numbers_(other.numbers_), list_(other.list_) {
        point();
    }
    StepSizes(StepSizes &&) = default;
    StepSizes &operator=(StepSizes other) {
        kind_ = other.kind_;
        rows_ = std::move(other.rows_);
        numbers_ = std::move(other.numbers_);
        list_ = std::move(other.list_);
        trace_ = other.trace_;
        return *this;
    }

    double value(const Features &x) {
        double v = 0.0;
        const ft_stream s = row_of(x);
        check(ft_adaptive_values(&trace_, &s, 1, &v), trace_.bad_index);
        return v;
    }
    /* Learn from one transition; the TD error. */
    double step(const Features &x, double reward, const Features &x_next, double gamma, double lambda) {
        double delta = 0.0;
        check(ft_adaptive_step(&trace_, kind_, x.k, x.indices, x.values, 0, x_next.k, x_next.indices, x_next.values, 0,
                               reward, gamma, lambda, &delta),
              trace_.bad_index);
        return delta;
    }
    std::vector<double> weights() const { return dense(true); }
    std::vector<double> alphas() const { return dense(false); }
    /* The traces become empty; weights and step sizes stay. */
    void reset() { ft_adaptive_reset(&trace_, kind_); }
    std::int64_t n_features() const { return trace_.n; }
    /* For functions of fasttrace.h; the options are in it. */
    ft_adaptive *handle() { return &trace_; }

  protected:
    StepSizes(std::int64_t n, double alpha, std::int32_t kind, double meta)
        : kind_(kind), rows_(count_of(n)), numbers_(4 * (n + FT_AT_ONCE)), list_(2 * n) {
        if (!(alpha > 0.0 && std::isfinite(alpha))) throw ValueError("alpha: expected a number above 0");
        if (!(meta >= 0.0 && std::isfinite(meta))) throw ValueError("meta: expected a number that is not negative");
        trace_.meta = meta;
        trace_.n = n;
        point();
        ft_adaptive_init(&trace_, n, 1, alpha);
    }
    ft_adaptive trace_ = {};

  private:
    static std::int64_t count_of(std::int64_t n) { /* before anything is allocated */
        if (n > INT32_MAX) throw ValueError("n_features: expected at most 2^31 - 1");
        return at_least_one("n_features", n);
    }
    void point() {
        const std::int64_t room = trace_.n + FT_AT_ONCE;
        trace_.rows = rows_.data();
        trace_.p = numbers_.data();
        trace_.inverse = trace_.p + room;
        trace_.fresh = trace_.inverse + room;
        trace_.x = trace_.fresh + room;
        trace_.list = list_.data();
        trace_.active = trace_.list + trace_.n;
    }
    std::vector<double> dense(bool weights) const {
        std::vector<double> out(std::size_t(trace_.n));
        ft_adaptive_dense(&trace_, kind_, weights ? out.data() : nullptr, weights ? nullptr : out.data());
        return out;
    }

    std::int32_t kind_;
    Zeros<ft_adaptive_row> rows_;
    Zeros<double> numbers_;
    Zeros<std::int32_t> list_;
};

} // namespace detail

/* SwiftTD: true online TD(lambda) whose step sizes learn, and whose rate of learning is at most eta. */
class SwiftTD : public detail::StepSizes {
  public:
    SwiftTD(std::int64_t n_features, double alpha, double eta = 0.1, double decay = 0.999, double meta = 1e-3,
            double eta_min = 1e-10)
        : StepSizes(n_features, alpha, FT_SWIFT, meta) {
        if (!(eta > 0.0 && eta <= 1.0)) throw ValueError("eta: expected a number above 0, at most 1");
        if (!(decay > 0.0 && decay <= 1.0)) throw ValueError("decay: expected a number above 0, at most 1");
        if (!(eta_min > 0.0 && eta_min <= eta)) throw ValueError("eta_min: expected a number above 0, at most eta");
        trace_.eta = eta;
        trace_.shrink = decay;
        trace_.eta_min = eta_min;
    }
};

/* TIDBD(lambda), by meta-descent. */
class TIDBD : public detail::StepSizes {
  public:
    TIDBD(std::int64_t n_features, double alpha, double meta = 1e-2)
        : StepSizes(n_features, alpha, FT_TIDBD, meta) {}
};

/* Autostep for TD(lambda): the same, normalised; tau updates are remembered. */
class Autostep : public detail::StepSizes {
  public:
    Autostep(std::int64_t n_features, double alpha, double meta = 1e-2, double tau = 1e4)
        : StepSizes(n_features, alpha, FT_AUTOSTEP, meta) {
        if (!(tau > 0.0 && std::isfinite(tau))) throw ValueError("tau: expected a number above 0");
        trace_.tau = tau;
    }
};

/* Many predictions on one stream: each learned as a learner by itself would learn it.  Those that decay about alike,
 * by gamma lambda, belong side by side, in eights.  kind: FT_HORDE_TRUE_ONLINE, ...; beta is for FT_HORDE_GTD. */
class Horde {
  public:
    Horde(std::int64_t n_features, const std::vector<double> &gammas, double alpha, double lambda,
          ft_horde_kind kind = FT_HORDE_TRUE_ONLINE, double beta = 0.0)
        : m_(detail::at_least_one("gammas", std::int64_t(gammas.size()))), chunks_((m_ + 7) / 8),
          slab_(ft_horde_slab_size(kind) * chunks_), place_(detail::at_least_one("n_features", n_features)),
          lanes_(FT_HORDE_WORDS * 8 * chunks_), counters_(FT_HORDE_COUNTERS * chunks_),
          rings_(ft_horde_ring_size(n_features) * (kind == FT_HORDE_GTD ? 24 : 16) * chunks_),
          table_(std::size_t(n_features / FT_HORDE_SLAB_ROWS + 1)) {
        if (!(alpha > 0.0 && std::isfinite(alpha))) throw ValueError("alpha: expected a number above 0");
        if (!(kind == FT_HORDE_GTD ? beta > 0.0 && std::isfinite(beta) : beta == 0.0))
            throw ValueError("beta: is for FT_HORDE_GTD, which needs a number above 0");
        ft_horde_init(&horde_, n_features, chunks_, kind, place_.data(), lanes_.data(), counters_.data(),
                      rings_.data(), table_.data());
        for (std::int64_t j = 0; j < 8 * chunks_; j++) {
            double *words = lanes_.data() + FT_HORDE_WORDS * 8 * (j / 8) + j % 8;
            words[4 * 8] = alpha;
            words[6 * 8] = beta;
        }
        give(gammas_, gammas, 1.0, "gammas");
        give(lambdas_, std::vector<double>(gammas.size(), lambda), 1.0, "lambda");
        give(rhos_, std::vector<double>(gammas.size(), 1.0), 1.0, "rhos");
        own_gammas_ = gammas_;
        own_lambdas_ = lambdas_;
        ones_ = rhos_;
        deltas_.resize(gammas_.size());
    }
    Horde(const Horde &other) { *this = other; }
    Horde(Horde &&) = default;
    Horde &operator=(Horde &&) = default;
    Horde &operator=(const Horde &other) {
        m_ = other.m_, chunks_ = other.chunks_, slab_ = other.slab_;
        place_ = other.place_, lanes_ = other.lanes_, counters_ = other.counters_, rings_ = other.rings_;
        slabs_ = other.slabs_, table_ = other.table_, horde_ = other.horde_;
        own_gammas_ = other.own_gammas_, own_lambdas_ = other.own_lambdas_, ones_ = other.ones_;
        cumulants_ = other.cumulants_, gammas_ = other.gammas_, lambdas_ = other.lambdas_, rhos_ = other.rhos_;
        deltas_ = other.deltas_, entries_ = other.entries_, sizes_ = other.sizes_;
        for (std::size_t i = 0; i < slabs_.size(); i++) table_[i] = slabs_[i].data();
        horde_.place = place_.data(), horde_.lanes = lanes_.data(), horde_.counters = counters_.data();
        horde_.rings = rings_.data(), horde_.slabs = table_.data();
        return *this;
    }

    std::int64_t size() const { return m_; }
    std::int64_t n_features() const { return horde_.n; }
    /* w.x of each prediction; the numbers hold until the next call. */
    const std::vector<double> &values(const Features &x) {
        const ft_stream row = detail::row_of(x);
        std::int64_t begins[2];
        for (std::int64_t j = 0; j < x.k; j++)
            if (x.indices[j] < -1 || x.indices[j] >= horde_.n) throw IndexError(x.indices[j]);
        grow();
        room(x.k);
        ft_horde_enter(&horde_, &row, 1, entries_.data(), x.values ? sizes_.data() : nullptr, begins);
        ft_horde_stream s = {};
        s.steps = 1;
        s.begins = begins;
        s.entries = entries_.data();
        s.values = x.values ? sizes_.data() : nullptr;
        s.stride = 8 * chunks_;
        return told(s, [&] { ft_horde_values(&horde_, &s); });
    }
    /* Learn from one transition; the TD errors, which hold until the next call.  cumulants are (m). */
    const std::vector<double> &step(const Features &x, const std::vector<double> &cumulants, const Features &x_next) {
        give(cumulants_, cumulants, HUGE_VAL, "cumulants");
        return learn(x, x_next, own_gammas_, own_lambdas_, ones_);
    }
    /* With discounts and lambdas of the state arrived in, and importance ratios: (m) each. */
    const std::vector<double> &step(const Features &x, const std::vector<double> &cumulants, const Features &x_next,
                                    const std::vector<double> &gammas, const std::vector<double> &lambdas,
                                    const std::vector<double> &rhos) {
        give(cumulants_, cumulants, HUGE_VAL, "cumulants");
        give(gammas_, gammas, 1.0, "gammas");
        give(lambdas_, lambdas, 1.0, "lambdas");
        give(rhos_, rhos, DBL_MAX, "rhos");
        return learn(x, x_next, gammas_, lambdas_, rhos_);
    }
    /* The traces become empty; weights stay. */
    void reset() { ft_horde_reset(&horde_); }
    ft_horde *handle() { return &horde_; }

  private:
    /* Numbers by the lane; a lane of no prediction gets those of the last.  most: HUGE_VAL for any sign. */
    void give(std::vector<double> &to, const std::vector<double> &from, double most, const char *name) {
        if (std::int64_t(from.size()) != m_) throw ValueError(std::string(name) + ": expected one for each prediction");
        for (double each : from)
            if (!std::isfinite(each) || (most != HUGE_VAL && !(each >= 0.0 && each <= most)))
                throw ValueError(std::string(name) + ": a number is not finite or not in its range");
        to.assign(std::size_t(8 * chunks_), from.back());
        std::copy(from.begin(), from.end(), to.begin());
    }
    void grow() {
        while (horde_.used > FT_HORDE_SLAB_ROWS * horde_.slabs_count) {
            slabs_.emplace_back(slab_);
            table_[std::size_t(horde_.slabs_count++)] = slabs_.back().data();
        }
    }
    void room(std::int64_t entries) {
        if (entries_.size() >= std::size_t(entries)) return;
        entries_.resize(std::size_t(entries));
        sizes_.resize(std::size_t(entries));
    }
    template <class Call> const std::vector<double> &told(ft_horde_stream &s, Call call) {
        deltas_.resize(std::size_t(8 * chunks_));
        s.deltas = deltas_.data();
        call();
        deltas_.resize(std::size_t(m_));
        return deltas_;
    }
    const std::vector<double> &learn(const Features &x, const Features &x_next, const std::vector<double> &gammas,
                                     const std::vector<double> &lambdas, const std::vector<double> &rhos) {
        if (horde_.kind == FT_HORDE_REPLACING && (x.values || x_next.values))
            throw ValueError("replacing traces are for binary features");
        room(x.k + x_next.k);
        ft_horde_stream s = {};
        s.cumulants = {cumulants_.data(), 0, 1};
        s.gammas = {gammas.data(), 0, 1};
        s.lambdas = {lambdas.data(), 0, 1};
        s.rhos = {rhos.data(), 0, 1};
        std::int32_t status = FT_OK;
        const std::vector<double> &deltas = told(s, [&] {
            while ((status = ft_horde_step(&horde_, x.k, x.indices, x.values, x_next.k, x_next.indices, x_next.values,
                                           &s, entries_.data(), sizes_.data())) == FT_HORDE_FULL)
                grow();
        });
        check(status, horde_.bad_index);
        return deltas;
    }

    std::int64_t m_ = 0, chunks_ = 0, slab_ = 0;
    detail::Zeros<std::int32_t> place_;
    detail::Zeros<double> lanes_;
    detail::Zeros<std::int64_t> counters_;
    detail::Zeros<double> rings_;
    std::vector<detail::Zeros<double>> slabs_;
    std::vector<double *> table_;
    std::vector<double> own_gammas_, own_lambdas_, ones_, cumulants_, gammas_, lambdas_, rhos_, deltas_, sizes_;
    std::vector<std::uint64_t> entries_;
    ft_horde horde_ = {};
};

/* Tile coding: `tilings` grids of tiles[i] a dimension over [low[i], high[i]], each displaced. */
class TileCoder {
  public:
    TileCoder(const std::vector<double> &low, const std::vector<double> &high, const std::vector<std::int64_t> &tiles,
              std::int64_t tilings, const std::vector<std::uint8_t> &wraps = {}, std::int64_t memory = 0)
        : table_(ft_tiles_table_size(std::int64_t(low.size()), detail::at_least_one("tilings", tilings))) {
        const std::vector<std::uint8_t> none(low.size());
        const std::vector<std::uint8_t> &w = wraps.empty() ? none : wraps;
        if (low.empty() || high.size() != low.size() || tiles.size() != low.size() || w.size() != low.size())
            throw ValueError("low, high, tiles, wraps: expected one number for each dimension");
        check(ft_tiles_init(&coder_, std::int64_t(low.size()), tilings, low.data(), high.data(), tiles.data(),
                            w.data(), memory, table_.data()));
    }
    TileCoder(const TileCoder &other) : table_(other.table_), coder_(other.coder_) { coder_.table = table_.data(); }
    TileCoder(TileCoder &&) = default;
    TileCoder &operator=(TileCoder other) {
        table_ = std::move(other.table_);
        coder_ = other.coder_;
        return *this;
    }

    std::int64_t n_features() const { return coder_.n_features; }
    std::int64_t tilings() const { return coder_.tilings; }
    /* The active features of a state (dims), into (tilings); allocates nothing. */
    void encode(const double *state, std::int32_t *indices) const { check(ft_tiles_encode(&coder_, 1, state, indices)); }
    template <class State> std::vector<std::int32_t> operator()(const State &state) const {
        if (std::int64_t(std::size(state)) != coder_.dims)
            throw ValueError("state: expected " + std::to_string(coder_.dims) + " numbers");
        std::vector<std::int32_t> indices(std::size_t(coder_.tilings));
        encode(std::data(state), indices.data());
        return indices;
    }

  private:
    detail::Zeros<double> table_;
    ft_tiles coder_;
};

} // namespace fasttrace

#endif
