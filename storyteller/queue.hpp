// Hands values from one thread to the next.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

namespace storybake::speech {

/// Queues values between two threads, to a bounded length: whoever is faster waits.
template <class T>
class Queue {
public:
    explicit Queue(std::size_t capacity) : capacity_(capacity) {}

    /// Waits for room. Returns false, and the value is dropped, once the queue is cut.
    bool push(T value) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return values_.size() < capacity_ || cut_; });
        if (cut_) {
            return false;
        }
        values_.push_back(std::move(value));
        changed_.notify_all();
        return true;
    }

    /// Waits for a value. Returns nothing when the queue is closed and empty, or cut.
    std::optional<T> pop() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !values_.empty() || closed_ || cut_; });
        if (values_.empty() || cut_) {
            return std::nullopt;
        }
        T value = std::move(values_.front());
        values_.pop_front();
        changed_.notify_all();
        return value;
    }

    /// Says that no more values will come; those there are can still be taken.
    void close() { set(closed_); }

    /// Ends the queue at once, on both sides.
    void cut() { set(cut_); }

private:
    void set(bool& flag) {
        const std::lock_guard lock(mutex_);
        flag = true;
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<T> values_;
    std::size_t capacity_;
    bool closed_ = false;
    bool cut_ = false;
};

}  // namespace storybake::speech
