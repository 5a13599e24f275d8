/* A robot learns, while it drives, what its bumper will say: true online TD(lambda) over tiles, in C++.
 *
 * It drives to and fro in a corridor, faster in the middle, and predicts the discounted bumps to come.  A thousand
 * times a second is often: the program prints its worst and its median step.  Exits with 1 where a prediction is far
 * from what then came. */
#include "fasttrace.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <vector>

namespace {

constexpr double discount = 0.95, lambda = 0.9;
constexpr int steps = 200000, last = 2000;

struct Robot {
    double place = 0.5, direction = 1.0;

    /* Drive on; whether it bumps. */
    bool drive() {
        place += direction * (0.01 + 0.02 * place * (1.0 - place));
        const bool bumps = place <= 0.0 || place >= 1.0;
        if (bumps) {
            place = std::clamp(place, 0.0, 1.0);
            direction = -direction;
        }
        return bumps;
    }
    std::array<double, 2> senses() const { return {place, direction}; }
};

} // namespace

int main() {
    const fasttrace::TileCoder coder({0.0, -1.0}, {1.0, 1.0}, {20, 2}, 8);
    fasttrace::TrueOnlineTD learner(coder.n_features(), 0.1 / 8);
    Robot robot;
    std::vector<std::int32_t> x = coder(robot.senses()), x_next(x.size());
    std::vector<double> nanoseconds(steps), predicted(last), bumps(last);

    for (int t = 0; t < steps; t++) {
        const bool bump = robot.drive();
        const auto begin = std::chrono::steady_clock::now();
        const auto senses = robot.senses();
        coder.encode(senses.data(), x_next.data());
        learner.step(x, bump, x_next, discount, lambda);
        nanoseconds[t] = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
        if (t >= steps - last) {
            predicted[t - (steps - last)] = learner.value(x);
            bumps[t - (steps - last)] = bump;
        }
        x.swap(x_next);
    }

    /* What came after each of the last steps, from the end on. */
    double came = learner.value(x), worst = 0.0;
    for (int t = last - 1; t >= 0; t--) {
        came = bumps[t] + discount * came;
        worst = std::max(worst, std::abs(came - predicted[t]));
    }
    std::printf("largest error %.2g of predictions up to %.3f\n", worst,
                *std::max_element(predicted.begin(), predicted.end()));
    std::sort(nanoseconds.begin(), nanoseconds.end());
    std::printf("a step: median %.0f ns, worst %.1f us of the 1000 us that there are at 1 kHz\n", nanoseconds[steps / 2],
                nanoseconds.back() / 1000.0);
    return worst < 0.2 ? 0 : 1;
}
